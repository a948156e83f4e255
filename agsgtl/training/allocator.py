"""Tells the C library to keep the memory that a training frees, for its next step."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Names of glibc's settings (malloc.h, mallopt(3))."""

KEEP_BYTES: Final = 2**31 - 1
LARGEST_KEPT: Final = (2**30, 2**25)
"""Wanted first, and the most that an older glibc takes (half of its heaps' size)."""


@cache
def keep_freed_memory() -> bool:
    """Whether the C library is glibc and has agreed; asked once a process.

    By default glibc returns freed maps of megabytes to the system, and the next step pays for every page of them anew.
    The price is that a process stays as large as it once was.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    return _keeps(ctypes.CDLL(None).mallopt)


def _keeps(mallopt: Callable[[int, int], int]) -> bool:
    """Whether both settings were taken; each is worth having without the other."""
    keeps_large = any(mallopt(_MMAP_THRESHOLD, size) for size in LARGEST_KEPT)  # up to the first that is taken
    keeps_much = mallopt(_TRIM_THRESHOLD, KEEP_BYTES)
    return bool(keeps_large and keeps_much)
