"""One array out of one file, or one line that says why not.

Today: MATLAB `.mat` of versions 5 to 7 (`matfile`), NumPy `.npy` (memory-mapped) and `.npz`. Another format is one more
function in `_READERS`. Nothing here unpickles.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.matfile import mat_variables
from agsgtl.errors import UserError, did_you_mean

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_array(path: Path, name: str | None) -> NDArray[Any]:
    """The array called `name` in a file, as it is there: its axes, its dtype; a `.npy` is mapped, not read.

    Args:
        path: a `.mat` (versions 5 to 7), `.npy` or `.npz` file.
        name: the array's name; None where the file holds only one.

    Raises:
        UserError: no such file or array, a damaged file, an array that is not numbers, another format.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: today {', '.join(_READERS)} files are read; save the array as one of these")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    array = _guarded(reader, path, name)
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


def _guarded(reader: Callable[[Path, str | None], Any], path: Path, name: str | None) -> Any:
    try:
        return reader(path, name)
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 - damaged bytes make the parsers raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        if "allow_pickle" in reason or "Python objects" in reason:
            raise UserError(
                f"{path}: holds pickled objects, which are never loaded; save plain arrays of numbers"
            ) from None
        raise UserError(
            f"{path}: is damaged or no {path.suffix} file ({reason[:200]}); fetch or save it again"
        ) from None


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
        return archive[_choose(path, name, archive.files)]


def _read_mat(path: Path, name: str | None) -> Any:
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(b"MATLAB 7.3") or _HDF5_SIGNATURE in (start[:8], start[512:520]):
        raise UserError(
            f"{path}: is a version 7.3 .mat (HDF5), which is not read today; save it with `save -v7` in MATLAB, or as .npy"
        )
    variables = mat_variables(path)
    variable = variables[_choose(path, name, list(variables))]
    if variable.holds != "numbers":
        raise _no_numbers(path, variable.name, variable.holds)
    return variable.read()


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


_READERS: dict[str, Callable[[Path, str | None], Any]] = {".mat": _read_mat, ".npy": _read_npy, ".npz": _read_npz}
