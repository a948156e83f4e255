"""A sweep, told in order: check, remember, unpack, run what is left, open the vault, say how it ended.

The same command starts a sweep, goes on with one that was stopped, and extends one whose file has grown.
"""

from __future__ import annotations

import fcntl
import os
import platform
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from agsgtl.data.mapped import unpack_pair
from agsgtl.errors import UserError
from agsgtl.provenance import versions
from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning.cluster import cluster_slots, ray_session, run_jobs
from agsgtl.tuning.confirm import missing_cells, planned_cells, score_records
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import JobQueue
from agsgtl.tuning.progress import Progress
from agsgtl.tuning.searcher import LedgerSearcher
from agsgtl.yamlfile import read_yaml

GROWING = ("pairs", "search.spaces", "search.trials", "search.factors", "confirm.methods", "confirm.seeds", "resources")
"""What an experiment file may change without any record losing its meaning; the lists may only grow."""


@dataclass
class SweepEnd:
    """How a sweep ended; `missing` are the confirmations without scores, `failed` the trials that ended in an error."""

    ledger: Ledger
    is_interrupted: bool = False
    ran: int = 0
    busy: float | None = None
    slots: int = 0
    missing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 done, 2 a trial ended in an error or a confirmation is missing, 130 interrupted."""
        if self.is_interrupted:
            return 130
        return 2 if self.missing or self.failed else 0


def sweep(path: Path, results: Path, address: str | None = None) -> SweepEnd:
    """Runs what is left of an experiment and scores its confirmations.

    Args:
        path: the experiment file.
        results: the folder that holds one folder an experiment.
        address: of a standing Ray cluster; None starts Ray here.

    Raises:
        UserError: the file is wrong, contradicts what lies in the ledger, or another driver is at work.
    """
    experiment = load_experiment(path)
    ledger = Ledger((results / experiment.file.name).resolve())
    with only_driver(ledger):
        concurrency = remember(experiment, ledger)
        for pair in experiment.pairs.values():
            unpack_pair(pair, ledger.path)
        end = SweepEnd(ledger)
        if concurrency is None or not JobQueue(experiment, ledger, concurrency).is_finished:
            queue = _run(experiment, ledger, concurrency, address, end)
        else:
            queue = JobQueue(experiment, ledger, concurrency)
        if not end.is_interrupted:
            _finish(experiment, ledger, queue, end)
    return end


def _run(experiment: Experiment, ledger: Ledger, concurrency: int | None, address: str | None, end: SweepEnd) -> JobQueue:
    with ray_session(address):
        end.slots = cluster_slots(experiment.file.resources)
        if concurrency is None:
            concurrency = end.slots
            remember(experiment, ledger, concurrency)
        queue = JobQueue(experiment, ledger, concurrency)
        searcher = LedgerSearcher(queue, end.slots)
        run_jobs(searcher, experiment.file.resources, ledger.path, [Progress(queue)])
    end.ran, end.is_interrupted = len(searcher.spans), not queue.is_finished
    end.busy = _busy_share(searcher.spans, end.slots * experiment.file.resources.cpu)
    return queue


def _finish(experiment: Experiment, ledger: Ledger, queue: JobQueue, end: SweepEnd) -> None:
    cells = planned_cells(experiment, queue.choices)
    _write_experiment(experiment, ledger, read_yaml(ledger.experiment_file)["concurrency"], cells)
    score_records(ledger.confirmations(), ledger, experiment.pair_arguments, "confirm")
    end.missing = missing_cells(experiment, ledger, queue.choices)
    end.missing += [f"{study.name}: no trial completed, nothing to confirm" for study in queue.studies if not study.winners()]
    end.failed = [
        f"{study.name}, trial {outcome.number}: {outcome.reason}"
        for study in queue.studies
        for outcome in study.outcomes.values()
        if outcome.status == "failed" and outcome.reason != "diverged"
    ]


def remember(experiment: Experiment, ledger: Ledger, concurrency: int | None = None) -> int | None:
    """Writes `experiment.yaml`, after checking that it does not contradict the one there; the stored concurrency.

    Raises:
        UserError: a key that gives the records their meaning has changed; both values are named.
    """
    if ledger.experiment_file.exists():
        there = read_yaml(ledger.experiment_file)
        _refuse_contradiction(there, experiment, ledger)
        concurrency = there.get("concurrency") or concurrency
    if concurrency is not None:
        cells = read_yaml(ledger.experiment_file).get("confirm_cells", []) if ledger.experiment_file.exists() else []
        _write_experiment(experiment, ledger, concurrency, cells)
    return concurrency


@contextmanager
def only_driver(ledger: Ledger) -> Iterator[None]:
    """Holds the experiment's lock; the system lets go of it however this process ends.

    Raises:
        UserError: another driver holds it; its host and process are named.
    """
    path = ledger.path / "driver.lock"
    try:
        ledger.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"{ledger.path}: cannot be written: {error.strerror}; choose another folder with --results") from None
    with os.fdopen(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{ledger.path}: another sweep of this experiment is running ({lock.read().strip() or 'just started'}); "
                "wait for it or stop it"
            ) from None
        lock.truncate(0)
        lock.write(f"host {socket.gethostname()}, process {os.getpid()}")
        lock.flush()
        yield


def _write_experiment(experiment: Experiment, ledger: Ledger, concurrency: int, cells: list[Mapping[str, Any]]) -> None:
    content = experiment.file.model_dump(mode="json")
    content["search"]["warnings"] = list(experiment.warnings)
    content |= {
        "distributions": {
            name: {path: str(entry) for path, entry in space.distributions.items()} for name, space in experiment.spaces.items()
        },
        "data": {name: pair.fingerprint for name, pair in experiment.pairs.items()},
        "pair_files": dict(experiment.pair_arguments),
        "concurrency": concurrency,
        "versions": {**versions(), **{name: version(name) for name in ("ray", "optuna", "scikit-learn", "scipy", "pandas")}},
        "platform": platform.platform(),
        "confirm_cells": [dict(cell) for cell in cells],
    }
    text = "# Written by `agsgtl sweep`: the experiment as it ran, every default spelled out.\n"
    ledger.write_experiment(text + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))


def _refuse_contradiction(there: Mapping[str, Any], experiment: Experiment, ledger: Ledger) -> None:
    ours = experiment.file.model_dump(mode="json")
    ours["distributions"] = {
        name: {path: str(entry) for path, entry in space.distributions.items()} for name, space in experiment.spaces.items()
    }
    for key in ("name", "trial", "search", "confirm", "distributions"):
        for name, (old, new) in _differences(key, there.get(key), ours.get(key)).items():
            if name.startswith(GROWING) or name == "search.warnings":
                continue
            if name.startswith("distributions.") and old is None:
                continue
            raise UserError(
                f"{experiment.origin}: {name} is {new!r}, but {ledger.experiment_file} holds records made with {old!r}; "
                "give the experiment another name, or set the key back"
            )


def _differences(key: str, old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for name in dict.fromkeys([*old, *new]):
            found |= _differences(f"{key}.{name}", old.get(name), new.get(name))
        return found
    return {} if old == new else {key: (old, new)}


def _busy_share(spans: list[dict[str, Any]], cpus: int) -> float | None:
    """The share of the CPUs' time, between the first job's start and the last one's end, that jobs computed."""
    if not spans:
        return None
    span = max(entry["ended_at"] for entry in spans) - min(entry["started_at"] for entry in spans)
    return float(sum(entry["cpu_s"] for entry in spans) / (span * cpus)) if span > 0 else None


def print_end(end: SweepEnd) -> None:
    """Says on stderr how a sweep ended."""
    if end.is_interrupted:
        print("interrupted: every finished trial is kept; the same command goes on from here", file=sys.stderr)
        return
    if end.slots == 0:
        print(f"{end.ledger.path.name}: nothing is left to do", file=sys.stderr)
    elif end.busy is not None:
        print(f"{end.ran} jobs; the CPUs were {end.busy:.0%} busy between the first one's start and the last one's end", file=sys.stderr)
    for line in end.missing:
        print(f"missing: {line}", file=sys.stderr)
    for line in end.failed:
        print(f"failed: {line}", file=sys.stderr)
