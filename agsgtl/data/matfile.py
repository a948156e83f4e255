"""Reads arrays of numbers from MATLAB files of versions 5 to 7, trusting no byte of them.

SciPy's compiled reader ends the whole process (segmentation fault, SciPy 1.17.1) on some damaged files; a sweep must not.
Layout: "MAT-File Format", MathWorks, chapter 1, "Version 5 MAT-File Format". An element is a tag (type, bytes) and data,
padded to 8 bytes; a matrix holds its flags, dimensions, name and real part as elements, columns first.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.scratch import LARGE_BYTES, scratch_file

_HEADER_BYTES = 128
_BYTE_ORDERS = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)
_OTHER_CLASSES = {1: "a cell", 2: "a struct", 3: "an object", 4: "text", 5: "a sparse matrix"}
_COMPLEX = 0x0800
_SLICE_BYTES = 2**20
_ENOUGH_FOR_NAME = 1024
"""Decompressed bytes that surely hold a variable's flags, dimensions and name (63 characters at most)."""


@dataclass(frozen=True)
class MatVariable:
    """One variable of a file, its numbers not read yet.

    Attributes:
        name: as MATLAB calls it.
        holds: 'numbers', or what it holds instead, like 'a cell'.
    """

    name: str
    holds: str
    _data: memoryview
    _compressed: bool
    _order: str

    def read(self) -> NDArray[Any]:
        """The array in the dtype that it is stored in, which may be smaller than its MATLAB class.

        It is mapped where the file holds it uncompressed, and where it is large.

        Raises:
            ValueError, zlib.error, struct.error: the variable is damaged or holds no numbers.
        """
        parts = _elements(_inflate(self._data, self._order, None) if self._compressed else self._data, self._order)
        _, (_, dimensions), _, (kind, real) = (next(parts, (0, memoryview(b""))) for _ in range(4))
        if kind not in _NUMBERS:
            raise ValueError(f"{self.name} has no numbers")
        values = np.frombuffer(real, np.dtype(self._order + _NUMBERS[kind]))
        shape = tuple(int(size) for size in np.frombuffer(dimensions, np.dtype(self._order + "i4")))
        if min(shape, default=-1) < 0 or math.prod(shape) != values.size:
            raise ValueError(f"{self.name} has {values.size} numbers for the shape {shape}")
        return values.reshape(shape, order="F")


def mat_variables(path: Path) -> dict[str, MatVariable]:
    """The variables of a file by name; only their heads are read.

    Raises:
        OSError, ValueError, zlib.error, struct.error: it is no file of version 5 to 7, or is damaged.
    """
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    order = _BYTE_ORDERS.get(bytes(content[126:_HEADER_BYTES]))
    if order is None:
        raise ValueError("it has no header of a version 5 .mat")
    variables = {}
    for kind, data in _elements(content[_HEADER_BYTES:], order):
        if kind in (_MATRIX, _COMPRESSED):
            variable = _variable(data, kind == _COMPRESSED, order)
            variables[variable.name] = variable
    variables.pop("", None)  # MATLAB's own bookkeeping has no name
    return variables


def _variable(data: memoryview, compressed: bool, order: str) -> MatVariable:
    parts = _elements(_inflate(data, order, _ENOUGH_FOR_NAME) if compressed else data, order)
    (_, flags), _, (_, name) = (next(parts, (0, memoryview(b""))) for _ in range(3))
    (bits,) = struct.unpack_from(f"{order}I", flags)
    array_class = bits & 0xFF
    holds = "numbers" if array_class in _NUMERIC_CLASSES else _OTHER_CLASSES.get(array_class, "something unknown")
    if holds == "numbers" and bits & _COMPLEX:
        holds = "complex numbers"
    return MatVariable(bytes(name).decode("latin1"), holds, data, compressed, order)


def _inflate(data: memoryview, order: str, most: int | None) -> memoryview:
    """The parts of a compressed matrix, `most` bytes of them or all that its tag announces; mapped where they are large."""
    slices = _inflated_slices(data)
    head = next(slices, b"")
    while 0 < len(head) < 8:
        head += next(slices, b"") or bytes(8)
    kind, size = struct.unpack(f"{order}II", head[:8])
    if kind != _MATRIX:
        raise ValueError(f"a compressed element must be a matrix (14), got {kind}")
    wanted = size if most is None else min(size, most)
    with scratch_file() if wanted >= LARGE_BYTES else io.BytesIO() as body:
        there = body.write(head[8:])
        while there < wanted and (part := next(slices, b"")):
            there += body.write(part)
        if there < wanted:
            raise ValueError("it ends in the middle of an array")
        if most is None and (there > wanted or next(slices, b"")):
            raise ValueError("a compressed array is longer than it says")
        body.flush()
        return memoryview(body.getvalue() if isinstance(body, io.BytesIO) else _mapped(body))[:wanted]


def _inflated_slices(data: memoryview) -> Iterator[bytes]:
    """The decompressed bytes slice by slice; at the stream's end zlib compares its checksum."""
    inflater = zlib.decompressobj()
    for start in range(0, len(data), _SLICE_BYTES):
        waiting: Any = data[start : start + _SLICE_BYTES]
        part = bytes(_SLICE_BYTES)
        while not inflater.eof and (waiting or len(part) == _SLICE_BYTES):  # a full slice may have more behind it
            if part := inflater.decompress(waiting, _SLICE_BYTES):
                yield part
            waiting = inflater.unconsumed_tail
    if not inflater.eof:
        raise ValueError("it ends in the middle of an array")


def _mapped(file: Any) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, data) of each element in turn; lazily, so that a head cut short still gives its first ones."""
    position = 0
    while position < len(data):
        (first,) = struct.unpack_from(f"{order}I", data, position)
        kind, size, start = first & 0xFFFF, first >> 16, position + 4  # a small element: data in the tag's second half
        after = position + 8
        if size == 0:
            (size,) = struct.unpack_from(f"{order}I", data, position + 4)
            start = position + 8
            after = start + size + (0 if kind == _COMPRESSED else -size % 8)
        elif size > 4:
            raise ValueError(f"a small element must have at most 4 bytes, got {size}")
        if start + size > len(data):
            raise ValueError("it ends in the middle of an array")
        yield kind, data[start : start + size]
        position = after
