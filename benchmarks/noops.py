"""Seconds that a sweep's driver takes a trial, told by workers that do nothing.

    python -m benchmarks.noops FOLDER --trials 10200 --concurrent 64

over a ledger of `benchmarks.longledger` in the folder; prints the seconds as JSON, once every worker was up.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any
from unittest import mock

from ray import tune

from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning import cluster
from agsgtl.tuning.jobs import JobQueue
from agsgtl.tuning.searcher import LedgerSearcher
from benchmarks.longledger import experiment_in

PACE_S = 0.0625
"""A no-op waits so long times their number, so that as many are under way at once as are meant to be: the best pace there is."""

MEASURED = 3
"""So many trials a worker are timed."""


def run_noops(folder: Path, trials: int, concurrent: int) -> None:
    """A real sweep's search with workers that do nothing; prints seconds a trial once every worker is up."""
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
    pace = Pace(queue, concurrent, MEASURED * concurrent)
    with mock.patch.object(cluster, "usable_cpus", return_value=concurrent), cluster.ray_session(None):
        searcher = LedgerSearcher(queue, concurrent, lambda: None)
        cluster.run_jobs(searcher, experiment.file.resources, ledger.path, [pace], noop)
    print(json.dumps(pace.found))


class Pace(tune.Callback):
    """Wall-clock and CPU seconds a trial, over so many trials once every worker has ended one; then stops the queue."""

    def __init__(self, queue: JobQueue, workers: int, timed: int) -> None:
        self.queue, self.workers, self.timed, self.processes = queue, workers, timed, set[int]()
        self.first, self.started = 0, (0.0, 0.0)
        self.found: dict[str, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        """Notes that the worker has ended one."""
        self.processes.add(result["pid"])

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Starts the clock, and stops it."""
        if len(self.processes) < self.workers:
            return
        ended, now = len(self.queue.studies[0].outcomes), (time.perf_counter(), time.process_time())
        if not self.first:
            self.first, self.started = ended, now
        elif ended - self.first >= self.timed and not self.found:
            wall_s, cpu_s = (
                (after - before) / (ended - self.first) for before, after in zip(self.started, now, strict=True)
            )
            self.found = {"wall_s": wall_s, "cpu_s": cpu_s, "trials": ended - self.first}
            self.queue.stop()


def main() -> None:
    """Runs them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--concurrent", type=int, required=True)
    chosen = parser.parse_args()
    run_noops(chosen.folder, chosen.trials, chosen.concurrent)


if __name__ == "__main__":
    main()
