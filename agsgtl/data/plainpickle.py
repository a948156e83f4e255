"""Unpickles numbers, arrays and containers, and can build nothing else: a pickle is a program, this runs none of it."""

from __future__ import annotations

import collections
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.errors import UserError

Builders = Mapping[tuple[str, str], Any]
"""What a pickle's (module, name) stands for."""

_MOST_ITEMS = 20_000_000

_PLAIN_STATE = (None, None, None, -1, -1, 0)
"""What a pickled dtype of plain numbers says behind its byte order: no subarray, names or fields; size and alignment as they are."""


def _encoded(text: str, encoding: str) -> bytes:
    """What `_codecs.encode` is in pickles of protocol 2: bytes spelled as Latin-1 text, and nothing else."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes must be spelled in latin1, got {encoding!r}")
    return text.encode("latin1")


class _Dtype:
    """What `numpy.dtype` is: a kind and size of plain number, and a byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248])", code):
            raise pickle.UnpicklingError(f"an array must hold plain numbers, got {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in "<>|=":
            raise pickle.UnpicklingError(f"a byte order must be < or >, got {state[1]!r}")
        if tuple(state[2:]) != _PLAIN_STATE:  # numpy's own dtype would believe sizes and flags that are not its kind's
            raise pickle.UnpicklingError(f"an array must hold plain numbers, got {state[2:]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """What `numpy.ndarray` is: filled by its state, and turned into an array when all is read."""

    array: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, content = state
        if not isinstance(kind, _Dtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array must hold plain numbers")
        self.array = np.frombuffer(content, kind.dtype).reshape(shape, order="F" if is_fortran else "C")


def _new_array(kind: Any, shape: Any, typecode: Any) -> _Array:
    """What numpy's `_reconstruct` is."""
    return _Array()


def _from_buffer(content: Any, kind: _Dtype, shape: Any, order: str, axis_order: Any = None) -> NDArray[Any]:
    """What numpy's `_frombuffer` is, in pickles of protocol 5."""
    if axis_order is not None:
        raise pickle.UnpicklingError("an array must be in C or Fortran order")
    return np.frombuffer(content, kind.dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(kind: _Dtype, content: bytes) -> Any:
    """What numpy's `scalar` is."""
    return np.frombuffer(content, kind.dtype)[0].item()


def _lent(builder: Callable[..., Any]) -> Callable[..., Any]:
    """A function that does the same and ends with the file: a pickle may set attributes of what it is given.

    Types need none: pickle hands what it would set to their own `__setstate__`, or they are built in.
    """

    def build(*arguments: Any) -> Any:
        """The builder's."""
        return builder(*arguments)

    return build


class _Finisher:
    """Puts real arrays in the place of ours; a small file that unfolds to more than `_MOST_ITEMS` items is refused."""

    def __init__(self) -> None:
        self.items = 0

    def finish(self, content: Any) -> Any:
        """The content with real arrays."""
        self.items += 1
        if self.items > _MOST_ITEMS:
            raise pickle.UnpicklingError(f"it unfolds to more than {_MOST_ITEMS} items")
        if isinstance(content, _Array):
            return content.array
        if isinstance(content, Mapping):
            return type(content)((key, self.finish(value)) for key, value in content.items())  # type: ignore[call-arg]
        is_list = isinstance(content, list | tuple)
        return type(content)(map(self.finish, content)) if is_list else content


PLAIN: Builders = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("_codecs", "encode"): _encoded,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _new_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class PlainUnpickler(pickle.Unpickler):
    """An unpickler whose every name is looked up in `builders`, and refused where it is not there."""

    def __init__(self, file: IO[bytes], builders: Builders = PLAIN) -> None:
        super().__init__(file)
        self._builders = builders

    def find_class(self, module: str, name: str) -> Any:
        """The builder of this name; raises `pickle.UnpicklingError` where there is none."""
        module = {"__builtin__": "builtins"}.get(module, module)
        if (module, name) not in self._builders:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        builder = self._builders[module, name]
        return builder if isinstance(builder, type) else _lent(builder)

    def persistent_load(self, pid: Any) -> Any:
        """Refuses references to anything outside the file."""
        raise pickle.UnpicklingError("it refers to something outside the file")


def load_plain(path: Path, builders: Builders = PLAIN) -> Any:
    """The content of a pickle.

    Raises:
        UserError: the file cannot be read, is no pickle, or asks for more than `builders` offers.
    """
    try:
        with path.open("rb") as file:
            _require_small_memo(file, path.stat().st_size)
            file.seek(0)
            return _Finisher().finish(PlainUnpickler(file, builders).load())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path}: is no pickle of plain numbers and arrays ({reason[:200]}); nothing else is ever unpickled: save what is "
            "needed as plain arrays"
        ) from None


def _require_small_memo(file: IO[bytes], size: int) -> None:
    """Refuses an object's number that no file of this size counts up to: the unpickler would make room for all before it."""
    for code, argument, _ in pickletools.genops(file):
        if code.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > size:
            raise pickle.UnpicklingError(f"it numbers an object {argument}, more than it can hold")
