"""Measures a sweep's driver at scale: long ledgers, many concurrent no-op trials, asks. Exit code 1 on a missed limit.

python -m benchmarks.scale [--trials 10000] [--concurrent 64] [--folder FOLDER] [--only ledger|driver|asks]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning.jobs import JobQueue
from agsgtl.tuning.study import Study, StudyName
from benchmarks.longledger import ENVIRONMENT, experiment_in, make_elsewhere
from benchmarks.noops import PACE_S

REBUILD_S, STATUS_S, TABLE_S, MEMORY_MIB = 10.0, 3.0, 5.0, 1024.0
OVERHEAD_S, GROWTH = 0.15, 1.5
"""Seconds of the driver a trial, and how much more it may be with 10,000 trials done than with 100."""

SAMPLERS = ("random", "tpe", "gp", "cmaes", "nsga2")
LENGTHS = (100, 1_000, 10_000)
STATEFUL = ("cmaes", "nsga2")
"""Samplers that keep state with their own trials: their history has to be one that they asked."""

TOO_SLOW_S = 2.0
"""A sampler whose ask takes longer at one length is not tried at the next."""


@dataclass
class Line:
    """One measured figure; a limit of None only informs."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def is_missed(self) -> bool:
        """Whether the figure is over its limit."""
        return self.limit is not None and self.value > self.limit

    def __str__(self) -> str:
        limit = "" if self.limit is None else f"{self.limit:g} {self.unit}"
        return f"| {self.what} | {self.value:.3g} {self.unit} | {limit} | {'MISSED' if self.is_missed else ''} |"


def measure_ledger(folder: Path, trials: int) -> Iterator[Line]:
    """Rebuild to the next ask, status and table over a long ledger, each in a process of its own."""
    make_elsewhere(folder, trials, planned=trials + 200)
    results = str(folder / "results" / "tiny")
    commands = {
        "rebuild and resume": (
            [sys.executable, "-m", "benchmarks.scale", "--resume", str(folder), "--trials", str(trials)],
            REBUILD_S,
        ),
        "agsgtl status": ([sys.executable, "-m", "agsgtl", "status", results], STATUS_S),
        "agsgtl table": ([sys.executable, "-m", "agsgtl", "table", results], TABLE_S),
    }
    for what, (command, limit) in commands.items():
        cost = cost_of(command)
        yield Line(f"{what}, {trials} trials", cost.wall_s - cost.queued_s, "s", limit)
        yield Line(f"{what}: wall clock with the waits for a busy CPU", cost.wall_s, "s")
        yield Line(f"{what}: peak memory", cost.memory_mib, "MiB", MEMORY_MIB)


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds, of them those that it was ready and others had the CPU, and its peak memory."""

    wall_s: float
    queued_s: float
    memory_mib: float


def cost_of(command: list[str]) -> Cost:
    """The cost of a command that has to succeed."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall_s, queued = time.perf_counter() - started, queued_s(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with status {status}")
    return Cost(wall_s, queued, usage.ru_maxrss / 1024)


def queued_s(process: int | str) -> float:
    """Seconds that a process's main thread was ready to run and had no CPU; 0 where the kernel does not count them."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def resume(folder: Path, trials: int) -> None:
    """What a driver does before its first job: everything but Ray."""
    queue = JobQueue(experiment_in(folder, trials + 200), Ledger(folder / "results" / "tiny"), 64)
    assert len(queue.studies[0].outcomes) == trials
    assert queue.next() is not None


def measure_driver(folder: Path, trials: int, concurrent: int) -> Iterator[Line]:
    """Seconds a trial with no-op trials through Ray, after 100 and after so many trials are done.

    Starting the workers, a process each, takes minutes on two cores and is not counted.
    """
    own_s = []
    for done in (100, trials):
        found = run_elsewhere(folder / f"after_{done}", done, concurrent)
        own_s.append(found["cpu_s"])
        what = f"driver a trial, {concurrent} at once, {done} done"
        yield Line(f"{what}: wall clock, the no-op's {PACE_S:g} s in it", found["wall_s"], "s", OVERHEAD_S)
        yield Line(f"{what}: its own processor time", found["cpu_s"], "s")
    yield Line(f"own processor time with {trials} done against 100", own_s[1] / own_s[0], "times", GROWTH)


def run_elsewhere(folder: Path, done: int, concurrent: int) -> dict[str, float]:
    """What `run_noops` found in a process of its own, over a ledger with so many trials done."""
    planned = (
        done + 100 * concurrent
    )  # more than are run: those that ended while workers were still starting do not count
    make_elsewhere(folder, done, planned)
    command = [sys.executable, "-m", "benchmarks.noops", str(folder)]
    command += ["--trials", str(planned), "--concurrent", str(concurrent)]
    environment = ENVIRONMENT | {"RAY_worker_niceness": "0"}
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def measure_asks(folder: Path) -> Iterator[Line]:
    """Processor seconds of one ask by sampler and length of history, told by a real study; no limit."""
    for sampler in SAMPLERS:
        for length in LENGTHS:
            history = sampler if sampler in STATEFUL else "random"
            seconds = ask_s(folder / f"{history}_{length}", sampler, history, length)
            yield Line(f"an ask of {sampler}, {length} trials told", seconds, "s")
            if seconds > TOO_SLOW_S:
                break


def ask_s(folder: Path, sampler: str, history: str, length: int) -> float:
    """Processor seconds of the second of two asks that see so many trials; the first one tells them."""
    planned, ledger = length + 200, Ledger(folder / "results" / "tiny")
    if not ledger.path.exists():
        make_elsewhere(folder, length, planned, history)
    with mock.patch("os.fsync"):
        study = Study(
            StudyName("target_only", "tiny", 3), experiment_in(folder, planned, sampler), ledger, concurrency=64
        )
        study.ask()
        started = time.process_time()
        study.ask()
        seconds = time.process_time() - started
    for number in range(length, study.asked):  # another sampler may ask here
        shutil.rmtree(ledger.path / str(study.name) / "trials" / str(number))
    return seconds


def main() -> int:
    """Measures, prints a Markdown table, and says whether every limit holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--concurrent", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", choices=("ledger", "driver", "asks"))
    parser.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.resume:
        resume(chosen.resume, chosen.trials)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.folder or Path(temporary)).resolve()
        parts: dict[str, Callable[[], Iterator[Line]]] = {
            "ledger": lambda: measure_ledger(folder / "ledger", chosen.trials),
            "driver": lambda: measure_driver(folder / "driver", chosen.trials, chosen.concurrent),
            "asks": lambda: measure_asks(folder / "asks"),
        }
        print(
            f"{datetime.date.today()}, {platform.platform()}, {len(os.sched_getaffinity(0))} CPUs, load {os.getloadavg()[0]:.1f}\n"
        )
        print("| what | measured | limit | |\n|---|---|---|---|")
        lines = []
        for part in [chosen.only] if chosen.only else parts:
            for line in parts[part]():
                lines.append(line)
                print(line, flush=True)
    return int(any(line.is_missed for line in lines))


if __name__ == "__main__":
    sys.exit(main())
