"""One array out of one file, or one line that says why not.

MATLAB `.mat` of versions 5 to 7 (`matfile`) and 7.3 (`matfile73`), NumPy `.npy` and `.npz`, ENVI `.hdr` and GeoTIFF
(`geofiles`). Another format is one more function in `_READERS`. Large arrays come mapped. Nothing here unpickles.
"""

from __future__ import annotations

import errno
import math
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agsgtl.data import geofiles, matfile73
from agsgtl.data.georeference import Georeference
from agsgtl.data.matfile import mat_variables
from agsgtl.data.scratch import LARGE_BYTES, forget_pages, in_c_order, scratch_array
from agsgtl.errors import UserError, did_you_mean

_Result = TypeVar("_Result")

_SLICE_BYTES = 16 * 2**20
_OF_CONTENT = (None, errno.EINVAL)
"""Error numbers of what a file holds, not of the disk: h5py and rasterio give none; a damaged offset may be no place to seek."""


def read_array(path: Path, name: str | None) -> NDArray[Any]:
    """The array called `name` in a file, with the axes that its format gives it and its dtype; mapped where it is large.

    Args:
        path: a `.mat`, `.npy`, `.npz`, ENVI `.hdr`, `.tif` or `.tiff` file.
        name: the array's name; None where the file holds only one.

    Raises:
        UserError: no such file or array, a damaged file, an array that is not numbers, another format.
        OSError: the disk or the network failed, which may be better the next time: nothing that a user mends in the file.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: {', '.join(_READERS)} files are read; {_other_format(path)}")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    array = guarded(lambda: reader(path, name), path)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise _no_numbers(path, name, str(array.dtype) if isinstance(array, np.ndarray) else type(array).__name__)
    return array


def as_label_image(array: NDArray[Any], origin: str) -> NDArray[Any]:
    """A label image as integers; MATLAB often stores class ids as doubles.

    Raises:
        UserError: a value is not a whole number.
    """
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind != "f":
        return array
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    if not np.array_equal(whole, array):
        wrong = array[whole != array].flat[0]
        raise UserError(f"{origin}: class ids must be whole numbers, but {wrong:g} is among them; name the label array")
    return whole


def read_georeference(path: Path) -> Georeference | None:
    """The coordinates of a file, or None where it has none; raises as `read_array`."""
    return guarded(lambda: geofiles.read_georeference(path), path) if geofiles.has_coordinates(path) else None


def is_turned(path: Path) -> bool:
    """Whether a file's coordinates are turned, which is not read; raises as `read_array`."""
    return guarded(lambda: geofiles.is_turned(path), path) if geofiles.has_coordinates(path) else False


def read_wavelengths_nm(path: Path) -> NDArray[np.float64] | None:
    """The band centres (bands,) in nanometres that a cube's file tells, or None; raises as `read_array`."""
    return guarded(lambda: geofiles.read_wavelengths_nm(path), path) if geofiles.has_coordinates(path) else None


def guarded(read: Callable[[], _Result], path: Path, remedy: str = "fetch or save it again") -> _Result:
    """What `read` reads from a file; raises as `read_array`, where `remedy` says what mends a damaged file."""
    try:
        return read()
    except (UserError, MemoryError):
        raise
    except (PermissionError, FileNotFoundError) as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except OSError as error:
        if error.errno in _OF_CONTENT:
            raise _damaged(path, error, remedy) from None
        # No UserError: a trial's record would call the hiccup of a network bad input for good.
        raise OSError(error.errno, f"{path}: cannot be read: {_one_line(error.strerror)}") from error
    except Exception as error:
        raise _damaged(path, error, remedy) from None


def _damaged(path: Path, error: Exception, remedy: str) -> UserError:
    reason = _one_line(str(error)) or type(error).__name__
    if "allow_pickle" in reason or "Python objects" in reason:
        return UserError(f"{path}: holds pickled objects, which are never loaded; save plain arrays of numbers")
    return UserError(f"{path}: is damaged or no {path.suffix} file ({reason[:200]}); {remedy}")


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _read_npy(path: Path, name: str | None) -> Any:
    if name is not None:
        raise UserError(
            f"{path}: a .npy file holds one array without a name, but '{name}' is asked for; leave the name out"
        )
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError("it does not start as .npy files do")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _read_npz(path: Path, name: str | None) -> Any:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no zip archive")
    with np.load(path, allow_pickle=False) as archive:
        chosen = _choose(path, name, archive.files)
        size = archive.zip.getinfo(f"{chosen}.npy").file_size
        with archive.zip.open(f"{chosen}.npy") as member:
            shape, is_fortran, dtype = _header(member)
            if math.prod(shape) * dtype.itemsize > size:  # before memory is asked for
                raise ValueError(f"its array {shape} is larger than it has bytes")
            if size >= LARGE_BYTES:
                return _copied_to_disk(member, shape, is_fortran, dtype)
        return archive[chosen]


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = header(member)
    if dtype.hasobject:
        raise ValueError("Python objects")
    return shape, is_fortran, dtype


def _copied_to_disk(member: IO[bytes], shape: tuple[int, ...], is_fortran: bool, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array behind a `.npy` header inside an archive, mapped, without ever being in memory whole."""
    flat = scratch_array((math.prod(shape),), dtype)
    step = max(1, _SLICE_BYTES // dtype.itemsize)
    for first in range(0, flat.size, step):
        part = member.read(min(step, flat.size - first) * dtype.itemsize)
        flat[first : first + step] = np.frombuffer(part, dtype)
        forget_pages(flat)
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _read_mat(path: Path, name: str | None) -> Any:
    with path.open("rb") as file:
        start = file.read(1024)
    if matfile73.is_mat73(start):
        return _read_mat73(path, name)
    variables = mat_variables(path)
    variable = variables[_choose(path, name, list(variables))]
    if variable.holds != "numbers":
        raise _no_numbers(path, variable.name, variable.holds)
    return in_c_order(variable.read())


def _read_mat73(path: Path, name: str | None) -> Any:
    variables = matfile73.variables(path)
    chosen = _choose(path, name, list(variables))
    if variables[chosen] != "numbers":
        raise _no_numbers(path, chosen, variables[chosen])
    return matfile73.read_variable(path, chosen)


def _read_geo(path: Path, name: str | None) -> Any:
    if name is not None:
        raise UserError(
            f"{path}: a {path.suffix} file holds one array without a name, but '{name}' is asked for; leave it out"
        )
    return geofiles.read_raster(path)


def _other_format(path: Path) -> str:
    if path.suffix.lower() in (".img", ".dat", ".raw", ".bsq", ".bil", ".bip", ""):
        return "of an ENVI image, name the header (.hdr)"
    return "save the array as one of these"


def _choose(path: Path, name: str | None, there: Sequence[str]) -> str:
    listing = ", ".join(there) if there else "nothing"
    if name is None and len(there) == 1:
        return there[0]
    if name is None:
        raise UserError(f"{path}: holds {listing}; say which array is meant")
    if name not in there:
        raise UserError(f"{path}: holds no array '{name}' but {listing}; {did_you_mean(name, there)}")
    return name


def _no_numbers(path: Path, name: str | None, kind: str) -> UserError:
    what = f"'{name}'" if name is not None else "its content"
    return UserError(f"{path}: {what} must be a plain array of real numbers, but holds {kind}; name another")


_READERS: dict[str, Callable[[Path, str | None], Any]] = {
    ".mat": _read_mat,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".hdr": _read_geo,
    ".tif": _read_geo,
    ".tiff": _read_geo,
}
