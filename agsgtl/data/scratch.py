"""Arrays too large for memory lie in unnamed files of the temporary folder (`TMPDIR`) and are mapped from there."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from agsgtl.durable import NotWritable

LARGE_BYTES = 64 * 2**20
"""Arrays from this size on are unpacked to disk, not into memory."""

_SLAB_BYTES = 128 * 2**20
_CANNOT_RESERVE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
"""How file systems say that they cannot reserve space ahead."""


def scratch_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros of this shape in C order, mapped from a file that is gone when the array is.

    Raises:
        NotWritable: the temporary folder has no room for it.
    """
    with tempfile.TemporaryFile(prefix="agsgtl-") as file:
        _reserve(file, np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)))
        return np.memmap(file, dtype, "w+", shape=shape)


def new_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros of this shape in C order: in memory where they are small, mapped where they are large."""
    large = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)) >= LARGE_BYTES
    return scratch_array(shape, dtype) if large else np.zeros(shape, dtype)


def scratch_file() -> BinaryIO:
    """An empty file without a name, for bytes that are mapped later."""
    return tempfile.TemporaryFile(prefix="agsgtl-")


def in_c_order(array: NDArray[Any]) -> NDArray[Any]:
    """The same (height, width, bands) numbers, last axis fastest: itself where it is so or small, else a copy on disk.

    Slabs along the slower of the first two axes keep both the reading and the writing sequential.
    """
    if array.flags.c_contiguous or array.nbytes < LARGE_BYTES:
        return array
    copy = scratch_array(array.shape, array.dtype)
    along = int(array.strides[1] > array.strides[0])
    step = max(1, _SLAB_BYTES * array.shape[along] // array.nbytes)
    for first in range(0, array.shape[along], step):
        slab = (slice(None),) * along + (slice(first, first + step),)
        copy[slab] = array[slab]
        forget_pages(array)
        forget_pages(copy)
    return copy


def forget_pages(array: NDArray[Any]) -> None:
    """Gives a mapped array's pages back to the system, which reads them again where they are needed; else nothing."""
    owner: Any = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    if owner is not None:
        owner.madvise(mmap.MADV_DONTNEED)


def _reserve(file: BinaryIO, size: int) -> None:
    """Takes the space ahead: on a disk that fills up later, writing to the mapped file would kill the process (SIGBUS)."""
    if size == 0 or not hasattr(os, "posix_fallocate"):  # macOS has none
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno in _CANNOT_RESERVE:
            return
        raise NotWritable(
            f"{tempfile.gettempdir()}: an unpacked array needs {size / 2**20:.1f} MiB there, but: {error.strerror}; free that much "
            "space, or name a folder that has it in the environment variable TMPDIR"
        ) from None
