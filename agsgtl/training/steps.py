"""A training step, and how a GPU repeats it: its hundreds of kernels are recorded once and launched at once (CUDA graphs).

On a small scene a GPU waits for Python most of the time: a discriminator step on 145 x 72 pixels takes an H100 14 ms, of which
its own work is less than 2. A recording runs the same kernels in the same order, so every number stays what it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final
from weakref import WeakSet

import torch
from torch import Tensor, nn

from agsgtl.garbage import without_garbage_collection

WARM_UP: Final = 3
"""Times that a step runs as it is before it is recorded: optimisers and libraries take memory of their own at first."""

MOST_RECORDINGS: Final = 128
"""Of one step, as many as a shallow network has views: each holds the driver's memory, which no share of the GPU counts."""


def adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> torch.optim.Adam:
    """Adam as all trainings here use it; on a GPU its steps can be recorded."""
    trained = list(parameters)
    is_on_gpu = any(parameter.is_cuda for parameter in trained)
    return torch.optim.Adam(trained, lr=learning_rate, fused=True, capturable=is_on_gpu)


def stepped(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """One step down the gradient of a loss; the loss as it was before."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


class Recordings:
    """The recordings of one step, which is called with ever the same kinds of arguments; a CPU makes none.

    Arguments are tensors, hashable values, and tuples and dataclasses of both. Each combination of values gets a recording of
    its own; a tensor is brought to where the recordings read it, unless it is the one of the call before. What else the step
    reads and writes (weights, statistics, an optimiser's state) has to stay at its place in memory: `forget` says that it did
    not. Tensors of other shapes make all recordings anew, as windows around pixels drawn anew do in most epochs.
    """

    def __init__(self, device: torch.device) -> None:
        self.is_used = device.type == "cuda"
        self.forget()

    def forget(self) -> None:
        """Drops all recordings."""
        self._calls: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._latest: list[Tensor] = []
        self._places: list[Tensor] = []

    def run(self, step: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """What the step gives, which is one tensor; it must not wait for the device."""
        if not self.is_used:
            return step(*arguments)
        leaves = list(_leaves(arguments))
        values = tuple(leaf for leaf in leaves if not isinstance(leaf, Tensor))
        self._place([leaf for leaf in leaves if isinstance(leaf, Tensor)])
        if values not in self._recorded:
            if not self._is_due(values):
                return step(*arguments)
            self._recorded[values] = _record(step, _with_tensors(arguments, iter(self._places)))
        recording, result = self._recorded[values]
        recording.replay()
        return result.clone()

    def _is_due(self, values: Hashable) -> bool:
        """Whether to record: after the warm-up, and values that have come before, since a recording costs as much as two steps."""
        self._calls[values] += 1
        is_warm = self._calls.total() > WARM_UP
        return is_warm and self._calls[values] > 1 and len(self._recorded) < MOST_RECORDINGS

    def _place(self, tensors: Sequence[Tensor]) -> None:
        """Brings the tensors to where the recordings read them.

        That is where the first ones lay, so that a cube that never changes is not copied; the first other tensor that comes
        in one's stead makes a place of its own, and all recordings anew.
        """
        if [_form(tensor) for tensor in tensors] != [_form(place) for place in self._places]:
            self.forget()
            self._latest, self._places = list(tensors), list(tensors)
        for index, (tensor, latest) in enumerate(zip(tensors, self._latest, strict=True)):
            if tensor is latest:
                continue
            if self._places[index] is latest:
                self._recorded.clear()
                self._places[index] = torch.empty_like(latest)
            self._places[index].copy_(tensor)
            self._latest[index] = tensor


def _record(step: Callable[..., Tensor], arguments: Sequence[Any]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """The recording of a step, and where its result will lie; nothing is run yet.

    An earlier trial's memory on the GPU, given back meanwhile, would spoil it. What spoils it is what is raised, and not that it
    is spoiled; and the stream is then the caller's again, where PyTorch would stay on its own.
    """
    recording = torch.cuda.CUDAGraph()
    try:
        with (
            without_garbage_collection(),
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(recording, _shared_memory(), capture_error_mode="thread_local"),
        ):
            result = step(*arguments)
    except Exception as error:
        raise error.__context__ or error from None
    _ALIVE.add(recording)
    return recording, result


_ALIVE: WeakSet[torch.cuda.CUDAGraph] = WeakSet()
"""All recordings of the process that are still of use."""


def _shared_memory() -> Any:
    """The memory of the recordings that are alive, for one more: no two run at once, and none reads what another left there."""
    return next((recording.pool() for recording in _ALIVE), None)


def _form(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype


def _leaves(value: Any) -> Iterator[Any]:
    """The tensors and the plain values in tuples and dataclasses.

    >>> list(_leaves((1, ("two", None))))
    [1, 'two', None]
    """
    if isinstance(value, tuple):
        for part in value:
            yield from _leaves(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name))
    else:
        yield value


def _with_tensors(value: Any, tensors: Iterator[Tensor]) -> Any:
    """The same with other tensors in the place of its own, in the order of `_leaves`."""
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, tuple):
        return tuple(_with_tensors(part, tensors) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{field.name: _with_tensors(getattr(value, field.name), tensors) for field in fields(value)}
        )
    return value
