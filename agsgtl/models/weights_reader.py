"""Reads the authors' pickled lists of state dicts through an unpickler that builds tensors, numbers and containers only.

Three forms are read: a plain pickle of tensors (`pickle.dump`, `dill.dump`), and PyTorch's own two (`torch.save`), which
`torch.load(weights_only=True)` reads under the same restriction.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agsgtl.data.plainpickle import PLAIN, Builders, load_plain
from agsgtl.errors import UserError

StateDict = dict[str, Tensor]

_ZIP = b"PK\x03\x04"
_LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number that PyTorch's older files begin with, behind the two bytes of a pickle's protocol."""


def read_state_dicts(path: Path) -> list[StateDict]:
    """The state dicts of a file: of a list of them, or of one, or of a mapping from run to state dict.

    Raises:
        UserError: the file cannot be read, asks to build anything but tensors, numbers and containers, or holds no weights.
    """
    content = _read(path)
    if isinstance(content, dict) and not _is_state_dict(content):
        content = list(content.values())
    dicts = [content] if isinstance(content, dict) else content
    if not isinstance(dicts, list | tuple) or not dicts or not all(_is_state_dict(entry) for entry in dicts):
        raise UserError(f"{path}: must hold a list of state dicts (name -> tensor), but holds {_describe(content)}")
    return [{str(name): _own_copy(tensor, f"{path}: {name}") for name, tensor in entry.items()} for entry in dicts]


def _own_copy(tensor: Tensor, origin: str) -> Tensor:
    """A tensor with memory of its own; one that is larger than what the file holds of it, as a stride of 0 makes it, is refused."""
    if tensor.device.type != "cpu" or tensor.layout != torch.strided:
        raise UserError(
            f"{origin}: must be a plain tensor with its numbers in the file, but is {tensor.layout} on {tensor.device}; save it "
            "with `tensor.detach().cpu().to_dense()`"
        )
    needed, held = tensor.numel() * tensor.itemsize, tensor.untyped_storage().nbytes()
    if needed > held:
        raise UserError(
            f"{origin}: its shape {tuple(tensor.shape)} takes {needed} bytes, but the file holds {held} of it; save it with "
            "`tensor.contiguous()`"
        )
    return tensor.detach().clone()


def _read(path: Path) -> Any:
    try:
        start = path.open("rb").read(64)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if start.startswith(_ZIP) or _LEGACY_MAGIC in start:
        return _torch_load(path)
    return load_plain(path, _BUILDERS)


def _torch_load(path: Path) -> Any:
    try:
        return _restricted_load(path)
    except Exception as error:
        raise UserError(
            f"{path}: is no file of plain weights ({_reason(error)}); nothing but tensors, numbers and containers is ever "
            "unpickled: save the state dicts alone"
        ) from None


def _reason(error: Exception) -> str:
    """What was asked for, without PyTorch's advice to lift the restriction."""
    asked = re.search(r"GLOBAL (\S+)", str(error))
    return f"it asks for {asked[1]}" if asked else "it is damaged or holds other objects"


def _restricted_load(file: Path | io.BytesIO) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of damaged files; what comes of them is judged below
        return torch.load(file, map_location="cpu", weights_only=True)


def _storage_from_bytes(content: bytes) -> Any:
    """What `torch.storage._load_from_bytes` is: that one unpickles anything, this one storages only."""
    try:
        return _restricted_load(io.BytesIO(content))
    except Exception as error:
        raise pickle.UnpicklingError(_reason(error)) from None


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """What `torch._utils._rebuild_tensor_v2` is; hooks and the wish for a gradient are left out."""
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError("a tensor must lie in a storage")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= _length(storage)):
        raise pickle.UnpicklingError("a tensor must lie in its storage")
    return torch.empty(0, dtype=storage.dtype).set_(storage, offset, torch.Size(size), tuple(stride))


def _length(storage: torch.storage.TypedStorage) -> int:
    """How many numbers a storage holds."""
    return storage._untyped_storage.nbytes() // storage.dtype.itemsize


def _parameter(tensor: Tensor, *_: Any) -> Tensor:
    """What `torch._utils._rebuild_parameter` is: the tensor without its gradient."""
    return tensor


_BUILDERS: Builders = {
    **PLAIN,
    ("torch.storage", "_load_from_bytes"): _storage_from_bytes,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): torch.Size,
}


def _is_state_dict(content: Any) -> bool:
    return isinstance(content, dict) and bool(content) and all(isinstance(value, Tensor) for value in content.values())


def _describe(content: Any) -> str:
    if isinstance(content, list | tuple) and content:
        return f"a {type(content).__name__} of {type(content[0]).__name__}"
    return type(content).__name__
