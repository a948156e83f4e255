"""How many CPUs this process may use: those it may run on, held to the quota that a container or a job has of their time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpus(groups: Path = CONTROL_GROUPS, membership: Path = MEMBERSHIP) -> int:
    """The CPUs that this process may use, which in a container can be fewer than the machine has; at least 1.

    Args:
        groups: where Linux shows control groups, version 1 or 2.
        membership: the file that says in which of them this process is.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min([allowed, *_quotas(groups, membership)])))


def _quotas(groups: Path, membership: Path) -> Iterator[float]:
    """The quota, in CPUs, of each group that this process is in, and of those around it: each of them holds."""
    for folder in dict.fromkeys(_folders(groups, membership)):
        try:
            quota, period = _quota_and_period(folder)
        except (OSError, ValueError):
            continue  # no such group, or "max"
        if quota > 0 and period > 0:
            yield quota / period


def _folders(groups: Path, membership: Path) -> Iterator[Path]:
    """The folders of those groups; a container may see its own group as the root, whatever `membership` calls it."""
    yield from (groups, groups / "cpu")
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = groups / "cpu" if controllers else groups
        own = mount / path.lstrip("/")
        yield from (own, *(folder for folder in own.parents if folder.is_relative_to(mount)))


def _quota_and_period(folder: Path) -> tuple[int, int]:
    """Microseconds of CPU time in each period of so many microseconds; -1 without a limit, of version 1."""
    if (both := folder / "cpu.max").exists():  # version 2
        quota, period = both.read_text().split()
        return int(quota), int(period)
    return int((folder / "cpu.cfs_quota_us").read_text()), int((folder / "cpu.cfs_period_us").read_text())
