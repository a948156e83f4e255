"""Tells the C library to keep the memory that a training frees, for its next step."""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Names of glibc's settings (malloc.h, mallopt(3))."""

KEEP_BYTES: Final = 2**31 - 1
LARGEST_KEPT: Final = 2**30


@cache
def keep_freed_memory() -> bool:
    """Whether the C library is glibc and has agreed; asked once a process.

    By default glibc returns freed maps of megabytes to the system, and the next step pays for every page of them anew.
    The price is that a process stays as large as it once was.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_MMAP_THRESHOLD, LARGEST_KEPT) and library.mallopt(_TRIM_THRESHOLD, KEEP_BYTES))
