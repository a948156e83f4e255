"""Reads arrays of numbers from MATLAB files of version 7.3, which are HDF5 with every array's axes reversed.

HDF5 can name other files, and their bytes would be read as this file's arrays: no link and no dataset that leads out is followed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from agsgtl.data.scratch import LARGE_BYTES, forget_pages, in_c_order, scratch_array

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SLAB_BYTES = 64 * 2**20


def is_mat73(start: bytes) -> bool:
    """Whether a file that starts with these (at least 520) bytes is HDF5; MATLAB puts 512 bytes of its own before."""
    return start.startswith(b"MATLAB 7.3") or SIGNATURE in (start[:8], start[512:520])


def variables(path: Path) -> dict[str, str]:
    """What each variable of a file holds: 'numbers', or what it holds instead, like 'a cell'.

    Raises:
        OSError, RuntimeError, KeyError: it is no HDF5 file, or is damaged.
    """
    with h5py.File(path, "r") as file:
        return {name: _holds(file, name) for name in file if not name.startswith("#")}


def read_variable(path: Path, name: str) -> NDArray[Any]:
    """One of the `variables` that are numbers, with the axes that MATLAB shows: (height, width, bands) for a cube; mapped if large.

    Arrays that MATLAB did not write (no attribute `MATLAB_class`) keep the axes that they have in the file.

    Raises:
        OSError, RuntimeError, ValueError: the file is damaged.
    """
    with h5py.File(path, "r") as file:
        stored = file[name]
        reverse = "MATLAB_class" in stored.attrs
        _require_plausible(stored, path)
        if stored.attrs.get("MATLAB_empty"):
            return _empty(stored[()])
        array = stored[()] if stored.nbytes < LARGE_BYTES else _copied_to_disk(stored)
    return in_c_order(array.transpose() if reverse else array)


def _copied_to_disk(stored: Any) -> NDArray[Any]:
    """A mapped copy in the file's own order; whole chunks at a time, so that each is unpacked once."""
    copy = scratch_array(stored.shape, stored.dtype)
    unit = stored.chunks[0] if stored.chunks else 1
    step = max(1, _SLAB_BYTES * stored.shape[0] // stored.nbytes // unit) * unit
    for first in range(0, stored.shape[0], step):
        copy[first : first + step] = stored[first : first + step]
        forget_pages(copy)
    return copy


def _require_plausible(stored: Any, path: Path) -> None:
    """Refuse a damaged shape before memory is asked for: deflate packs at most 1032 to 1."""
    if stored.nbytes > 1100 * max(path.stat().st_size, 4096):
        raise ValueError(f"it says that it holds {stored.nbytes} bytes, more than such a file can")


def _empty(sizes: Any) -> NDArray[np.float64]:
    """The array without a number whose sizes stand in its place."""
    shape = tuple(int(size) for size in sizes)
    if 0 not in shape:
        raise ValueError(f"it says that its array {shape} is empty")
    return np.zeros(shape, np.float64)


def _leads_out(file: h5py.File, name: str) -> bool:
    """Whether a name stands for anything but an object of this file with its numbers in it."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return True
    stored = file[name]
    return isinstance(stored, h5py.Dataset) and (bool(stored.external) or stored.is_virtual)


def _holds(file: h5py.File, name: str) -> str:
    if _leads_out(file, name):
        return "what lies elsewhere (a link, or external or virtual storage)"
    stored = file[name]
    if isinstance(stored, h5py.Group):
        return "a sparse matrix" if "MATLAB_sparse" in stored.attrs else "a struct"
    matlab = stored.attrs.get("MATLAB_class", b"")
    matlab = matlab.decode("latin1") if isinstance(matlab, bytes) else str(matlab)
    if matlab in ("cell", "char", "struct"):
        return {"cell": "a cell", "char": "text", "struct": "a struct"}[matlab]
    if stored.dtype.kind == "V":
        return "complex numbers"
    return "numbers" if stored.dtype.kind in "biuf" else "something unknown"
