"""What a sweep adds to its trainings: from one trial's end to the next one's first epoch on the same worker, part by part.

    python -m benchmarks.overhead [--trials 30]

A real sweep of tiny trials on reused actors gives the parts between two trials; the first trial of each worker, which
pays for its start, is left out. The parts inside a trial are timed in this process, warm. Exit code 1 where the median
from end to first epoch misses the limit.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from agsgtl.config import Config, configure
from agsgtl.data.mapped import map_pair
from agsgtl.data.pairing import DomainPair
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.seeds import Seeds
from agsgtl.trial import Place, debug_setup, run_trial
from agsgtl.tuning.sweep import sweep

EXPERIMENT = """
name: overhead
pairs: [indian_pines/west_to_east]
trial:
  model.width: 4
  model.discriminator_width: 4
  pretrain.epochs: 1
  adapt.epochs: 1
  adapt.discriminator_steps: 1
  adapt.target_steps: 1
search: {spaces: {fine_tune: space.yaml}, trials: TRIALS, seeds: [0], sampler: random, scheduler: none}
confirm: {methods: [fine_tune], seeds: [41]}
"""
SPACE = "adapt.target_learning_rate: {type: float, low: 1e-4, high: 1e-2, log: true}\n"
PAIR = "indian_pines/west_to_east"
LIMIT_S = 0.1

BETWEEN = ("class map and record written", "Ray ends the one and starts the next")
"""From `ended_at` to the record's time, and on to the next `started_at`; the ask is mostly made before, while the first ran."""

INSIDE = {
    "labels drawn, cubes ready": "agsgtl.trial.source_inputs",
    "source model read": "agsgtl.trial.obtain_source_model",
    "networks built and given weights": "agsgtl.training.methods._segmenter",
    "checkpoint saved": "agsgtl.laststate.LastState.save",
    "class map written": "agsgtl.reporting.ledger.TrialFolder.write_class_map",
    "record written": "agsgtl.reporting.ledger.TrialFolder.write_record",
}
"""Parts of a trial and the function that does each; what comes before the first epoch comes first."""

BEFORE_FIRST_EPOCH = tuple(INSIDE)[:3]


def gaps(ledger: Ledger) -> list[tuple[float, ...]]:
    """The parts in `BETWEEN`, in seconds, for each two trials in turn on one worker's process."""
    by_process: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    for folder in ledger.trials(f"fine_tune/{PAIR}/10"):
        record = folder.record()
        assert record is not None
        written = (folder.path / "record.json").stat().st_mtime
        by_process[record.cost.process].append((record.cost.started_at, record.cost.ended_at, written))
    found: list[tuple[float, ...]] = []
    for spans in by_process.values():
        for (_, ended, written), (started, _, _) in pairwise(sorted(spans)):
            found.append((written - ended, started - written))
    return found


def inside(pair: DomainPair, config: Config, source_models: Path, count: int) -> dict[str, list[float]]:
    """Seconds of each part in `INSIDE` for some trials in this process; one before them warms it up."""
    times: dict[str, list[float]] = {name: [] for name in INSIDE}
    setup = debug_setup(pair, config, "fine_tune", Seeds(labels=0, init=0), "target_validation")
    with tempfile.TemporaryDirectory() as folder:
        run_trial(config, pair, setup, Place(TrialFolder(Path(folder) / "first"), source_models))
        patches = [mock.patch(path, _timed(path, times[name])) for name, path in INSIDE.items()]
        for patch in patches:
            patch.start()
        for number in range(count):
            run_trial(config, pair, setup, Place(TrialFolder(Path(folder) / str(number)), source_models))
        for patch in patches:
            patch.stop()
    return times


def _timed(path: str, times: list[float]) -> Callable[..., Any]:
    function = pkgutil.resolve_name(path)

    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            times.append(time.perf_counter() - started)

    return timed


def line(name: str, seconds: Iterable[float]) -> str:
    """A row of the table: median, 90 % and largest, in ms."""
    found = sorted(seconds)
    high = found[int(0.9 * (len(found) - 1))]
    return f"| {name} | {1000 * statistics.median(found):.1f} | {1000 * high:.1f} | {1000 * found[-1]:.1f} |"


def main() -> int:
    """Prints the distribution and where the time goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    trials = parser.parse_args().trials
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="agsgtl-overhead-") as name:
        folder = Path(name)
        (folder / "overhead.yaml").write_text(EXPERIMENT.replace("TRIALS", str(trials)))
        (folder / "space.yaml").write_text(SPACE)
        started = time.monotonic()
        end = sweep(folder / "overhead.yaml", folder / "results")
        whole_s = time.monotonic() - started
        found = gaps(end.ledger)
        record = end.ledger.trials(f"fine_tune/{PAIR}/10")[0].ask()
        assert record is not None
        config = configure(record.config, origin="overhead")
        times = inside(map_pair(end.ledger.path, PAIR), config, end.ledger.pretrained, trials)
    print(f"{len(found)} gaps; the whole sweep {whole_s:.1f} s; load {os.getloadavg()[0]:.1f}\n")
    print("| part | median, ms | 90 %, ms | largest, ms |\n|---|---|---|---|")
    for index, part in enumerate(BETWEEN):
        print(line(part, (parts[index] for parts in found)))
    print(line("**between two trials**", (sum(parts) for parts in found)))
    for part in BEFORE_FIRST_EPOCH:
        print(line(f"in the trial: {part}", times[part]))
    setting_up = sum(statistics.median(times[part]) for part in BEFORE_FIRST_EPOCH)
    start = [sum(parts) + setting_up for parts in found]
    print(line("**from a trial's end to the next one's first epoch**", start))
    for part in INSIDE:
        if part not in BEFORE_FIRST_EPOCH:
            print(line(f"after the last epoch: {part}", times[part]))
    return 0 if statistics.median(start) < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
