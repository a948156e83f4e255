"""Measures a sweep's driver at scale: long ledgers, many concurrent no-op trials, asks. Exit code 1 on a missed limit.

python benchmarks/scale.py [--trials 10000] [--concurrent 64] [--folder FOLDER] [--only ledger|driver|asks]
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
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

REBUILD_S, STATUS_S, TABLE_S, MEMORY_MIB = 10.0, 3.0, 5.0, 1024.0
OVERHEAD_S, GROWTH = 0.15, 1.5
"""Seconds of the driver a trial, and how much more it may be with 10,000 trials done than with 100."""

EPOCHS = 40
SAMPLERS = ("random", "tpe", "gp", "cmaes", "nsga2")
LENGTHS = (100, 1_000, 10_000)
PACE_S = 0.0625
"""A no-op waits so long times their number, so that as many are under way at once as are meant to be: the best pace there is."""

MEASURED = 3
"""So many trials a worker are timed."""

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


def experiment_in(folder: Path, trials: int, sampler: str = "random") -> Any:
    """A search of `target_only`, which needs no source model, on the tiny pair."""
    from agsgtl.tuning.experiment import load_experiment
    from experiments import write_experiment

    space = {
        "adapt.target_learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "adapt.target_steps": {"type": "int", "low": 1, "high": 20},
        "model.width": {"type": "int", "low": 4, "high": 64},
    }
    search = {"search__trials": trials, "search__sampler": sampler, "search__order": "async"}
    path = write_experiment(folder, {"target_only": space}, confirm__methods=["lda", "target_only"], **search)
    return load_experiment(path)


def end_trial(folder: Any, ask: Any) -> None:
    """What a worker leaves: a line an epoch and a record, here with a made-up score."""
    from agsgtl.reporting.record import Record, SeedOutcome
    from agsgtl.trial import failed_record

    score = 1.0 - abs(float(ask.config["adapt.target_learning_rate"]) - 3e-3) * 50
    lines = (
        json.dumps({"epoch": epoch, "epochs": EPOCHS, "score": score * epoch / EPOCHS})
        for epoch in range(1, EPOCHS + 1)
    )
    (folder.path / "progress.jsonl").write_text("\n".join(lines) + "\n")
    outcomes = [
        SeedOutcome(seeds=seeds, score=score, epoch=EPOCHS, epochs=EPOCHS, best_score=score, best_epoch=EPOCHS)
        for seeds in ask.seeds
    ]
    changes = {"status": "complete", "reason": None, "message": None, "score": score, "outcomes": tuple(outcomes)}
    folder.write_record(Record.model_validate(failed_record(ask, "error", "").model_dump() | changes))


def make_ledger(folder: Path, trials: int, planned: int, sampler: str = "random") -> None:
    """A ledger with so many ended trials of the planned ones, as a sweep leaves it; nothing is synced, to make it fast."""
    from synthetic import write_confirm

    from agsgtl.reporting.ledger import Ledger
    from agsgtl.tuning.resolved import write_experiment
    from agsgtl.tuning.study import Study, StudyName

    experiment = experiment_in(folder, planned, sampler)
    ledger = Ledger(folder / "results" / "tiny")
    with mock.patch("os.fsync"):
        write_experiment(experiment, ledger, 64, 1, cells=[])
        for rank, method in enumerate(("lda", "target_only")):
            tuned = trials if method == "target_only" else None
            write_confirm(
                ledger.path,
                method,
                {seed: 0.5 + 0.1 * rank + seed / 1000 for seed in (41, 50)},
                pair="tiny",
                trials=tuned,
            )
        study = Study(StudyName("target_only", "tiny", 3), experiment, ledger, concurrency=64)
        while len(study.outcomes) < trials:
            trial, ask = study.ask()
            end_trial(trial, ask)
            study.finish(trial)


def make_elsewhere(folder: Path, trials: int, planned: int, sampler: str = "random") -> None:
    """The same in another process: a large parent's memory would count as its children's."""
    command = [sys.executable, __file__, "--make", str(folder), "--trials", str(trials), "--planned", str(planned)]
    command += ["--sampler", sampler]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def measure_ledger(folder: Path, trials: int) -> Iterator[Line]:
    """Rebuild to the next ask, status and table over a long ledger, each in a process of its own."""
    make_elsewhere(folder, trials, planned=trials + 200)
    results = str(folder / "results" / "tiny")
    commands = {
        "rebuild and resume": ([sys.executable, __file__, "--resume", str(folder), "--trials", str(trials)], REBUILD_S),
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
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)})
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
    from agsgtl.reporting.ledger import Ledger
    from agsgtl.tuning.jobs import JobQueue

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
    command = [sys.executable, __file__, "--noop", str(folder)]
    command += ["--trials", str(planned), "--concurrent", str(concurrent)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"}
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def run_noops(folder: Path, trials: int, concurrent: int) -> None:
    """A real sweep's search with workers that do nothing; prints seconds a trial once every worker is up."""
    from ray import tune

    from agsgtl.reporting.ledger import Ledger
    from agsgtl.tuning import cluster
    from agsgtl.tuning.jobs import JobQueue
    from agsgtl.tuning.searcher import LedgerSearcher

    experiment = experiment_in(folder, trials)
    ledger = Ledger(folder / "results" / "tiny")
    template = (ledger.path / "target_only/tiny/3/trials/0/record.json").read_text()

    wait_s = PACE_S * concurrent  # a local name: the function is sent by value

    def noop(config: dict[str, Any]) -> None:  # sent by value: the worker imports neither agsgtl nor torch
        # None ends before all workers are up: Tune would give its worker to a trial whose own is still starting.
        up = Path(config["job"]["results"], "up")
        up.mkdir(exist_ok=True)
        (up / str(os.getpid())).touch()
        while len(os.listdir(up)) < concurrent:
            time.sleep(0.2)
        trial = Path(config["job"]["results"], config["job"]["folder"])
        record = json.loads(template)
        record["identity"] = json.loads((trial / "ask.json").read_text())["identity"]
        time.sleep(wait_s)
        (trial / "record.tmp").write_text(json.dumps(record))
        (trial / "record.tmp").rename(trial / "record.json")
        tune.report({"ended_at": time.time()})

    queue = JobQueue(experiment, ledger, concurrent)
    pace = _pace(queue, concurrent, MEASURED * concurrent)
    with mock.patch.object(cluster, "usable_cpus", return_value=concurrent), cluster.ray_session(None):
        searcher = LedgerSearcher(queue, concurrent, lambda: None)
        cluster.run_jobs(searcher, experiment.file.resources, ledger.path, [pace], noop)
    print(json.dumps(pace.found))


def _pace(queue: Any, workers: int, timed: int) -> Any:
    from ray import tune

    class Pace(tune.Callback):
        """Wall-clock and CPU seconds a trial, over so many trials once every worker has ended one; then stops the queue."""

        def __init__(self) -> None:
            self.queue, self.processes = queue, set[int]()
            self.first, self.started = 0, (0.0, 0.0)
            self.found: dict[str, float] = {}

        def __getstate__(self) -> dict[str, Any]:
            return {}

        def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
            self.processes.add(result["pid"])

        def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
            if len(self.processes) < workers:
                return
            ended, now = len(self.queue.studies[0].outcomes), (time.perf_counter(), time.process_time())
            if not self.first:
                self.first, self.started = ended, now
            elif ended - self.first >= timed and not self.found:
                wall_s, cpu_s = (
                    (after - before) / (ended - self.first) for before, after in zip(self.started, now, strict=True)
                )
                self.found = {"wall_s": wall_s, "cpu_s": cpu_s, "trials": ended - self.first}
                self.queue.stop()

    return Pace()


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
    from agsgtl.reporting.ledger import Ledger
    from agsgtl.tuning.study import Study, StudyName

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
    parser.add_argument("--noop", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--planned", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sampler", default="random", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.make:
        make_ledger(chosen.make, chosen.trials, chosen.planned, chosen.sampler)
        return 0
    if chosen.resume:
        resume(chosen.resume, chosen.trials)
        return 0
    if chosen.noop:
        run_noops(chosen.noop, chosen.trials, chosen.concurrent)
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
