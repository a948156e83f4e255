"""What a trial ran on and what it cost: versions, commit, time, memory, host."""

from __future__ import annotations

import os
import platform
import resource
import socket
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy
import torch

import agsgtl
from agsgtl.reporting.record import Cost


@cache
def versions() -> dict[str, str]:
    """Versions of what computes, and the commit of the checkout that agsgtl runs from, where there is one.

    `cpu` is the instruction set that PyTorch takes: kernels, and with them the last bits, depend on it.
    """
    found = {
        "agsgtl": agsgtl.__version__,
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    return found | ({"commit": commit} if (commit := _commit()) else {})


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


CONTEXT_MIB = 1000.0
"""An allowance for what a process holds on a GPU besides PyTorch's tensors: the CUDA context, kernels, library workspaces, and the
driver's part of recorded steps. On an H100 a trial with 129 recordings held 943."""


@dataclass(frozen=True)
class GpuMemory:
    """The most that this process has held of its GPU since its trial began, and the size of that GPU."""

    used_mib: float
    total_mib: float
    context_mib: float = CONTEXT_MIB

    def columns(self) -> dict[str, float]:
        """The same under the names that reports and costs have for it."""
        return {"gpu_memory_mib": self.used_mib, "gpu_total_mib": self.total_mib}


def gpu_memory() -> GpuMemory | None:
    """What this process holds of its GPU, or None where there is none."""
    if not torch.cuda.is_available():
        return None
    total = torch.cuda.get_device_properties(0).total_memory / 2**20
    return GpuMemory(torch.cuda.max_memory_reserved() / 2**20 + CONTEXT_MIB, total)


class Stopwatch:
    """Started with a trial; `cost` reads it.

    `peak_memory_mib` is the device's peak since the start on a GPU; on a CPU the peak of the whole process so far, since
    the operating system keeps no other, which in a process that ran trials before may be theirs.
    """

    def __init__(self, device: str, attempt: int) -> None:
        self.device, self.attempt = device, attempt
        self.started_at, self.started, self.started_cpu = time.time(), time.monotonic(), time.process_time()
        if device == "cuda" and torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def cost(self) -> Cost:
        """The cost from the start until now."""
        memory = gpu_memory() if self.device == "cuda" else None
        return Cost(
            **(memory.columns() if memory else {}),
            duration_s=time.monotonic() - self.started,
            cpu_s=time.process_time() - self.started_cpu,
            peak_memory_mib=self._peak_memory_mib(),
            device=self.device,
            host=socket.gethostname(),
            process=os.getpid(),
            attempt=self.attempt,
            started_at=self.started_at,
            ended_at=time.time(),
        )

    def _peak_memory_mib(self) -> float:
        if self.device == "cuda" and torch.cuda.is_available():
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
