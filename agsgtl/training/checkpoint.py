"""Weights and training state as safetensors files, each replaced in one step; nothing is ever unpickled."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from agsgtl.durable import replace_bytes
from agsgtl.errors import UserError

Tensors = dict[str, Tensor]

_CHECKSUM = "crc32"
"""Among the facts, since a second entry of safetensors' metadata would come in any order."""


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], sync: bool = True) -> None:
    """Writes tensors and JSON-like facts to one file, in the place of an earlier one; `sync` waits for the disk."""
    plain = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
    content = to_bytes(plain, {"facts": json.dumps({**facts, _CHECKSUM: _crc32(plain)})})
    replace_bytes(path, content, sync)  # by our own hand: `save_file` calls a full disk an error of safetensors


def load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the facts of a file that `save` wrote.

    Raises:
        UserError: there is no file, or it is not one of those.
        OSError: the system refuses to open it just now, which says nothing of what is in it.
    """
    try:
        path.open("rb").close()  # of whatever the system refuses, safetensors says that there is no file
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            if facts.pop(_CHECKSUM, None) not in (None, _crc32(tensors)):  # None: from before there were any
                raise ValueError("its numbers are not those that were written")
            return tensors, facts
    except (FileNotFoundError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: is no checkpoint of ours ({error}); remove it to train again") from None


def _crc32(tensors: Mapping[str, Tensor]) -> str:
    """Tells a file whose end a power cut left as zeros: safetensors checks lengths alone."""
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors under `<prefix>.<name>`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The inverse of `prefixed`.

    >>> under("target", prefixed("target", {"weight": 1}) | {"other.weight": 2})
    {'weight': 1}
    """
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def snapshot(network: nn.Module) -> Tensors:
    """A copy of a network's weights and running statistics."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """An optimiser's moments and step counts, as `<parameter index>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Gives an optimiser of the same parameters the moments and step counts that `optimizer_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if (
                value.shape == parameter.shape
            ):  # the file holds them contiguous; the fused step wants the weights' layout
                values[name] = torch.empty_like(parameter).copy_(value)
