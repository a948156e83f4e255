"""Scenes with coordinates: ENVI through the package spectral, GeoTIFF through rasterio; both in the extra `geo`."""

from __future__ import annotations

import contextlib
import importlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.georeference import Georeference
from agsgtl.data.scratch import forget_pages, in_c_order, new_array
from agsgtl.durable import replace_bytes
from agsgtl.errors import UserError

_NANOMETRES = {"nanometers": 1.0, "nm": 1.0, "micrometers": 1000.0, "um": 1000.0, "microns": 1000.0}
_SLAB_BYTES = 64 * 2**20
_MOST_UNPACKED = {"deflate": 1100, "lzw": 3000}
"""Bytes that one byte of a file unpacks to at most: 1032 in deflate, 2560 in LZW (its longest string in 12 bits).

ZSTD, LZMA and sparse tiles have no such bound. There a bomb meets `scratch`: a large array goes to the temporary folder, not to
memory, and its whole space is asked for before anything is unpacked.
"""


def has_coordinates(path: Path) -> bool:
    """Whether a file's format can carry coordinates and band centres."""
    return path.suffix.lower() in (".hdr", ".tif", ".tiff")


def read_raster(path: Path) -> NDArray[Any]:
    """(height, width, bands) of a file, or (height, width) where it has one band; its dtype; mapped where it is large.

    Raises:
        UserError: the package that reads it is not installed.
        Exception: the file is damaged; of any kind.
    """
    array = _read_envi(path) if path.suffix.lower() == ".hdr" else _read_geotiff(path)
    return array[:, :, 0] if array.shape[2] == 1 else array


def read_georeference(path: Path) -> Georeference | None:
    """The coordinates of an ENVI or GeoTIFF file, or None where it has none."""
    if path.suffix.lower() == ".hdr":
        return _envi_georeference(_envi_header(path), path)
    with _open_geotiff(path) as raster:
        if raster.transform.is_identity and raster.crs is None:
            return None
        a, b, c, d, e, f = tuple(raster.transform)[:6]
        return Georeference(raster.crs.to_wkt() if raster.crs else "", (a, b, c, d, e, f))


def is_turned(path: Path) -> bool:
    """Whether an ENVI header's `map info` turns the scene, so that its coordinates are not read."""
    if path.suffix.lower() != ".hdr":
        return False
    return _turns(_envi_header(path).get("map info"), path)


def read_wavelengths_nm(path: Path) -> NDArray[np.float64] | None:
    """The band centres (bands,) in nanometres of an ENVI header, or None where it tells none or no unit."""
    if path.suffix.lower() != ".hdr":
        return None
    header = _envi_header(path)
    factor = _NANOMETRES.get(str(header.get("wavelength units", "")).lower())
    if factor is None or "wavelength" not in header:
        return None
    centres = header["wavelength"] if isinstance(header["wavelength"], list) else [header["wavelength"]]
    return np.array([_number(centre, "wavelength", path) for centre in centres]) * factor


def write_geotiff(
    path: Path, class_map: NDArray[np.uint8], georeference: Georeference, colours: tuple[str, ...]
) -> None:
    """A class map (height, width), 0..K, as GeoTIFF with the scene's coordinates and the classes' colours.

    Raises:
        NotWritable: the disk is full, or the folder may not be written; an earlier file stays as it was.
        UserError: the coordinates' system is none that rasterio knows.
    """
    rasterio = require("rasterio", path)
    height, width = class_map.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8", "compress": "deflate"}
    transform = rasterio.Affine(*georeference.transform)
    table = {i: (*tuple(bytes.fromhex(colour[1:])), 255) for i, colour in enumerate(colours, start=1)}
    try:
        with rasterio.MemoryFile() as memory:  # not the file itself: GDAL does not always say that a disk is full
            with memory.open(**profile, crs=georeference.crs or None, transform=transform, nodata=0) as raster:
                raster.write(class_map, 1)
                raster.write_colormap(1, {0: (0, 0, 0, 0), **table})
            replace_bytes(path, memory.read())
    except rasterio.errors.CRSError as error:
        raise UserError(
            f"{path}: the scene's coordinate system must be one that rasterio reads, got '{georeference.crs[:80]}' "
            f"({' '.join(str(error).split())}); correct it in the scene's file"
        ) from None
    except rasterio.errors.RasterioError as error:
        raise UserError(f"{path}: cannot be made: {' '.join(str(error).split())}") from None


def require(package: str, path: Path) -> Any:
    """The module of an optional package.

    Raises:
        UserError: it is not installed; the extra is named.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(
            f"{path}: {path.suffix} files need the package {package}; install it with `pip install agsgtl[geo]`"
        ) from None


@contextlib.contextmanager
def _open_geotiff(path: Path) -> Iterator[Any]:
    rasterio = require("rasterio", path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            path, driver="GTiff"
        ) as raster:  # no other driver, and no other file, whatever the bytes say
            yield raster


def _read_geotiff(path: Path) -> NDArray[Any]:
    with _open_geotiff(path) as raster:
        dtypes = set(raster.dtypes)
        if len(dtypes) > 1:
            raise ValueError(f"its bands have different types {sorted(dtypes)}")
        dtype = np.dtype(dtypes.pop())
        size = raster.height * raster.width * raster.count * dtype.itemsize
        most = _MOST_UNPACKED.get(str(raster.profile.get("compress", "")).lower(), math.inf)
        if size > most * max(path.stat().st_size, 4096):
            raise ValueError(f"it says that it holds {size} bytes, more than such a file can")
        cube = new_array((raster.height, raster.width, raster.count), dtype)
        step = max(1, _SLAB_BYTES * raster.height // max(1, cube.nbytes))
        for first in range(0, raster.height, step):
            rows = (first, min(first + step, raster.height))
            cube[slice(*rows)] = raster.read(window=(rows, (0, raster.width))).transpose(1, 2, 0)
            forget_pages(cube)
    return cube


def _read_envi(path: Path) -> NDArray[Any]:
    spectral = require("spectral", path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spectral speaks of capital letters in headers
        mapped = spectral.io.envi.open(str(path)).open_memmap(interleave="bip", writable=False)
    if mapped is None:
        raise ValueError("its image cannot be mapped")
    return in_c_order(mapped)


def _envi_header(path: Path) -> dict[str, Any]:
    spectral = require("spectral", path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(spectral.io.envi.read_envi_header(str(path)))


def _envi_georeference(header: dict[str, Any], path: Path) -> Georeference | None:
    """ENVI's `map info`: projection, reference pixel (from 1) and its x and y, pixel sizes; rotation is not supported."""
    info = header.get("map info")
    if not isinstance(info, list) or len(info) < 7 or _turns(info, path):
        return None
    column, row, x, y, width, height = (_number(item, "map info", path) for item in info[1:7])
    system = header.get("coordinate system string", "")
    text = ",".join(system) if isinstance(system, list) else str(system)
    return Georeference(
        text or _utm(info), (width, 0.0, x - (column - 1) * width, 0.0, -height, y + (row - 1) * height)
    )


def _turns(info: Any, path: Path) -> bool:
    """Whether a `map info` has a rotation that is not 0."""
    words = info if isinstance(info, list) else []
    turned = [str(item).partition("=")[2] for item in words if "rotation" in str(item).lower()]
    return any(_number(angle, "map info", path) for angle in turned)


def _utm(info: list[Any]) -> str:
    """The EPSG code of UTM on WGS 84 that `map info` names by zone and hemisphere; empty where it names another system."""
    words = [str(item).strip().lower() for item in (info[0], *info[7:10])]
    if len(words) < 4 or words[0] != "utm" or words[3].replace(" ", "-") != "wgs-84":
        return ""
    base = {"north": 32600, "south": 32700}.get(words[2])
    return f"EPSG:{base + int(words[1])}" if base and words[1].isdecimal() and 1 <= int(words[1]) <= 60 else ""


def _number(text: Any, key: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{path}: {key}: must be plain numbers there, got '{text}'; correct the header") from None
