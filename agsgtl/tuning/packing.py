"""How many trials share a GPU: as many as the memory that their kind was seen to need allows, each held to its share.

A worker holds its process to the share that the driver gave the job, measures what the first epochs took, and reports it.
The driver gives the next trials of that method and pair a share in which it fits, never less than `resources.gpu`. So what
runs on one GPU fits together, and who asks for more than its share runs out of memory alone.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from agsgtl.provenance import GpuMemory, gpu_memory
from agsgtl.training.steps import WARM_UP

FIRST_EPOCHS = WARM_UP + 1
"""After so many epochs most trials have allocated what they need: networks, optimisers, activations of both scenes, and recordings
of their steps, which with one step an epoch are made in the one after `WARM_UP`."""

GROWN = 1.02
"""So many times what was reported, and it is reported anew: steps that see random views are recorded in later epochs too."""

HEADROOM = 1.1
"""A trial gets so many times what was measured: sampled widths differ, and the allocator fragments."""

_STEPS = 10_000
"""Ray counts GPUs in ten-thousandths."""

Kind = tuple[str, str]
"""Method and pair: trials of one kind need about the same memory."""


class Packing:
    """What trials of each kind were seen to need, and the GPU share that a job gets; kept by the driver."""

    def __init__(self, gpu: float) -> None:
        self.gpu = gpu
        self._used_mib: dict[Kind, float] = {}
        self._total_mib = math.inf

    def learn(self, kind: Kind, memory: Mapping[str, Any]) -> None:
        """Takes what a report or a record says of GPU memory, if it does."""
        used, total = memory.get("gpu_memory_mib"), memory.get("gpu_total_mib")
        if used and total:
            self._used_mib[kind] = max(used, self._used_mib.get(kind, 0.0))
            self._total_mib = min(total, self._total_mib)  # a share has to do on the smallest GPU

    def share(self, kind: Kind, is_alone: bool = False) -> float:
        """The part of a GPU that a job of this kind gets; a whole one where it has to run alone."""
        if not 0 < self.gpu < 1:
            return self.gpu
        if is_alone:
            return 1.0
        needed = HEADROOM * self._used_mib.get(kind, 0.0) / self._total_mib
        return max(self.gpu, fair_share(needed))


def fair_share(needed: float) -> float:
    """The smallest 1/n that holds what is needed; few different shares let Ray use its processes again.

    >>> fair_share(0.2), fair_share(0.26), fair_share(0.7)
    (0.2, 0.3333, 1.0)
    """
    fitting = int(1 / needed + 1e-9) if needed > 0 else _STEPS
    return math.floor(_STEPS / max(1, fitting)) / _STEPS


def kind_of(job: Mapping[str, Any]) -> Kind:
    """The kind of a job: its method, from its folder, and its pair; source models are a kind of their own."""
    parts = str(job["folder"]).split("/")
    method = parts[1] if parts[0] == "confirm" else parts[0]
    return (method if job["kind"] == "trial" else "source_model", str(job["pair"]))


def share_of(job: Mapping[str, Any], gpu: float) -> float:
    """The GPU share that the driver wrote into a job; `gpu` where it wrote none."""
    return float(job.get("gpu", gpu))


@contextmanager
def held_to_share(share: float) -> Iterator[None]:
    """This process takes no more than its share of the GPU's memory, and gives back what it took.

    A reused process would otherwise keep the memory of a trial that was stopped early (ray#23971).
    """
    cap_memory(share)
    forget_peak()
    try:
        yield
    finally:
        release_memory()


def cap_memory(share: float) -> None:
    """Makes PyTorch raise an out-of-memory error in this process where it wants more than the share."""
    if share and (memory := gpu_memory()):
        fraction = min(share, 1.0) - memory.context_mib / memory.total_mib
        torch.cuda.set_per_process_memory_fraction(max(fraction, 0.0))


def forget_peak() -> None:
    """Makes what is measured of GPU memory from here on the next job's, a source model's too, and not that of one before."""
    if gpu_memory():
        torch.cuda.reset_peak_memory_stats()


def release_memory() -> None:
    """Gives cached GPU memory back to the other processes."""
    if gpu_memory():
        gc.collect()
        torch.cuda.empty_cache()


def measured_columns(measure: Callable[[], GpuMemory | None] = gpu_memory) -> dict[str, float]:
    """What this process held of its GPU so far, as columns of a report; none without a GPU."""
    memory = measure()
    return memory.columns() if memory else {}


class Measured:
    """Adds what the first epochs took to a trial's report, and later what it has grown to."""

    def __init__(self, measure: Callable[[], GpuMemory | None] = gpu_memory) -> None:
        self.measure, self.reported_mib = measure, 0.0

    def __call__(self, epoch: int) -> dict[str, float]:
        """The columns to add to this epoch's report."""
        memory = self.measure() if epoch >= FIRST_EPOCHS else None
        if memory is None or memory.used_mib <= GROWN * self.reported_mib:
            return {}
        self.reported_mib = memory.used_mib
        return memory.columns()
