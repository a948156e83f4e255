"""Reads arrays of numbers from MATLAB files of version 7.3, which are HDF5 with every array's axes reversed."""

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
        return {name: _holds(file[name]) for name in file if not name.startswith("#")}


def read_variable(path: Path, name: str) -> NDArray[Any]:
    """The array with the axes that MATLAB shows: (height, width, bands) for a cube; a large one is mapped.

    Arrays that MATLAB did not write (no attribute `MATLAB_class`) keep the axes that they have in the file.

    Raises:
        OSError, RuntimeError, ValueError: the file is damaged.
    """
    with h5py.File(path, "r") as file:
        stored = file[name]
        reverse = "MATLAB_class" in stored.attrs
        if stored.attrs.get("MATLAB_empty"):
            return np.zeros(tuple(int(size) for size in stored[()]), np.float64)
        _require_plausible(stored, path)
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


def _holds(stored: Any) -> str:
    if isinstance(stored, h5py.Group):
        return "a sparse matrix" if "MATLAB_sparse" in stored.attrs else "a struct"
    matlab = stored.attrs.get("MATLAB_class", b"")
    matlab = matlab.decode("latin1") if isinstance(matlab, bytes) else str(matlab)
    if matlab in ("cell", "char", "struct"):
        return {"cell": "a cell", "char": "text", "struct": "a struct"}[matlab]
    if stored.dtype.kind == "V":
        return "complex numbers"
    return "numbers" if stored.dtype.kind in "biuf" else "something unknown"
