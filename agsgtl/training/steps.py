"""A training step, and how a GPU repeats it: its hundreds of kernels are recorded once and launched at once (CUDA graphs).

On a small scene a GPU waits for Python most of the time: a discriminator step on 145 x 72 pixels takes an H100 14 ms, of which
its own work is less than 2. A recording runs the same kernels in the same order, so every number stays what it was.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

WARM_UP: Final = 3
"""Times that a step runs as it is before it is recorded: optimisers and libraries take memory of their own at first."""


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


class Repeated:
    """A step that is called with ever the same kinds of arguments; a GPU records it, a CPU just runs it.

    Arguments are tensors, hashable values, and tuples and dataclasses of both. Each combination of values gets a recording of
    its own; a tensor is brought to where the recordings read it, unless it is the one of the call before. What else the step
    reads and writes (weights, statistics, an optimiser's state) has to stay at its place in memory: `forget` says that it did not.
    All calls are on one CUDA stream.

    Args:
        step: gives one tensor; it never waits for the device.
        device: where it runs.
    """

    def __init__(self, step: Callable[..., Tensor], device: torch.device) -> None:
        self.step, self.is_recorded = step, device.type == "cuda"
        self.forget()

    def forget(self) -> None:
        """Drops all recordings."""
        self._calls: Counter[Hashable] = Counter()
        self._recordings: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._latest: list[Tensor] = []
        self._places: list[Tensor] = []

    def __call__(self, *arguments: Any) -> Tensor:
        """What the step gives."""
        if not self.is_recorded:
            return self.step(*arguments)
        leaves = list(_leaves(arguments))
        values = tuple(leaf for leaf in leaves if not isinstance(leaf, Tensor))
        self._place([leaf for leaf in leaves if isinstance(leaf, Tensor)])
        if values not in self._recordings:
            self._calls[values] += 1
            if self._calls[values] <= WARM_UP:
                return self.step(*arguments)
            self._recordings[values] = self._record(_with_tensors(arguments, iter(self._places)))
        recording, result = self._recordings[values]
        recording.replay()
        return result.clone()

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
                self._recordings.clear()
                self._places[index] = torch.empty_like(latest)
            self._places[index].copy_(tensor)
            self._latest[index] = tensor

    def _record(self, arguments: Sequence[Any]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """The recording, and where its result will lie; nothing is run yet."""
        recording = torch.cuda.CUDAGraph()
        with _nothing_collected(), torch.cuda.graph(recording, _shared_memory(), capture_error_mode="thread_local"):
            result = self.step(*arguments)
        _ALIVE[recording] = torch.cuda.current_stream()
        return recording, result


_ALIVE: WeakKeyDictionary[torch.cuda.CUDAGraph, torch.cuda.Stream] = WeakKeyDictionary()
"""All recordings of the process that are still of use, and the stream that each runs on."""


def _shared_memory() -> Any:
    """The memory of this stream's other recordings, for one more: no two run at once, and none reads what another left there."""
    stream = torch.cuda.current_stream()
    return next((recording.pool() for recording, on in _ALIVE.items() if on == stream), None)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Inside, Python frees nothing of its own accord: to free an earlier trial's memory on the GPU would spoil a recording."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


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
