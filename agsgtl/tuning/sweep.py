"""A sweep, told in order: check, take the lease, unpack, run what is left, open the vault, say how it ended.

The same command starts a sweep, goes on with one that was stopped, and extends one whose file has grown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from agsgtl.data.mapped import unpack_pair
from agsgtl.durable import limits_of
from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning.cluster import check_cluster, cluster_slots, ray_session, run_jobs
from agsgtl.tuning.concurrency import concurrency_of, follow_slots, warnings_of
from agsgtl.tuning.confirm import known_cells, missing_cells, planned_cells, score_records
from agsgtl.tuning.experiment import Experiment, load_experiment
from agsgtl.tuning.jobs import JobQueue, study_names
from agsgtl.tuning.lease import Lease, only_driver
from agsgtl.tuning.progress import Progress
from agsgtl.tuning.resolved import remembered_concurrency, stored_cells, write_experiment
from agsgtl.tuning.retry import FROM_OUTSIDE, failed_from_outside, hand_out_again
from agsgtl.tuning.searcher import LedgerSearcher
from agsgtl.tuning.starts import require_warm_start
from agsgtl.tuning.stopping import StopRequest, stop_on_signals


@dataclass(frozen=True)
class Orders:
    """What the user allows: which Ray cluster, moving trials that lost their meaning aside, taking a lease over, running again
    what failed from outside.
    """

    address: str | None = None
    may_set_aside: bool = False
    take_over: bool = False
    retry_failed: bool = False


@dataclass
class SweepEnd:
    """How a sweep ended; `missing` are the confirmations without scores, `failed` the trials that ended in an error.

    `from_outside` counts those that may be tried again.
    """

    ledger: Ledger
    is_interrupted: bool = False
    ran: int = 0
    busy: float | None = None
    slots: int = 0
    missing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    from_outside: int = 0

    @property
    def exit_code(self) -> int:
        """0 done, 2 a trial ended in an error or a confirmation is missing, 130 interrupted."""
        if self.is_interrupted:
            return 130
        return 2 if self.missing or self.failed else 0


def sweep(path: Path, results: Path, orders: Orders = Orders()) -> SweepEnd:
    """Runs what is left of an experiment and scores its confirmations.

    Args:
        path: the experiment file.
        results: the folder that holds one folder an experiment.
        orders: what the user allows.

    Raises:
        UserError: the file is wrong, contradicts what lies in the ledger, or another driver is at work.
    """
    experiment = load_experiment(path)
    ledger = Ledger((results / experiment.file.name).resolve())
    with only_driver(ledger, orders.take_over) as lease:
        _say(limits_of(ledger.path))
        names = [str(name) for name in study_names(experiment)]
        check = partial(require_warm_start, experiment.warm_start, ledger, names, experiment.file.search.trials)
        concurrency = remembered_concurrency(experiment, ledger, orders.may_set_aside, check)
        for pair in experiment.pairs.values():
            _say(unpack_pair(pair, ledger.path))
        end = SweepEnd(ledger)
        lease.require()  # unpacking took its time, and a queue moves folders
        if orders.retry_failed:
            _say(hand_out_again(ledger, names, experiment.file.confirm.methods))
        queue = JobQueue(experiment, ledger, concurrency, lease.number) if concurrency else None
        _say(queue.take_notices() if queue else [])
        if queue is None or not queue.is_finished:
            with redirect_stdout(sys.stderr):  # Ray prints what it has to say there, and stdout is for the table alone
                queue = _run(experiment, ledger, queue, lease, orders.address, end)
        _say(queue.take_notices())
        if not end.is_interrupted:
            _finish(experiment, ledger, queue, lease, end)
    return end


def _run(
    experiment: Experiment, ledger: Ledger, queue: JobQueue | None, lease: Lease, address: str | None, end: SweepEnd
) -> JobQueue:
    """Runs the queue's jobs on Ray until none is left or a stop was asked for; the first start makes the queue here.

    With `order: fixed`, how many trials of a study are asked ahead is fixed by the slots of the first start.
    """
    with ray_session(address):
        check_cluster(address, ledger.path)
        end.slots = cluster_slots(experiment.file.resources)
        plan = _Plan(experiment, ledger, lease)
        if queue is None:
            lease.require()
            concurrency = concurrency_of(experiment, end.slots)
            write_experiment(experiment, ledger, concurrency, lease.number, cells=[])  # first: it holds the concurrency
            queue = JobQueue(experiment, ledger, concurrency, lease.number)
        follow_slots(queue, end.slots)
        plan.write(queue)
        _say(warnings_of(experiment, queue.concurrency))
        request = StopRequest(ledger.path, lease.number, on_stop=queue.stop)

        def before_each_write() -> None:
            request.listen()
            lease.require()
            plan.write_if_grown(queue)

        searcher = LedgerSearcher(queue, end.slots, before_each_write)
        try:
            with stop_on_signals(request):
                run_jobs(searcher, experiment.file.resources, ledger.path, [Progress(queue)])
        except Exception as error:  # Tune reads its own files at the end, which a full disk has torn
            raise searcher.fatal or error from None
    if searcher.fatal:
        raise searcher.fatal
    plan.write_if_grown(queue)
    end.ran, end.is_interrupted = len(searcher.spans), not queue.is_finished
    end.busy = _busy_share(searcher.spans, end.slots * experiment.file.resources.cpu)
    return queue


class _Plan:
    """Keeps the stored experiment's cells up to date while searches run, so that tables know what is missing meanwhile."""

    def __init__(self, experiment: Experiment, ledger: Ledger, lease: Lease) -> None:
        self.experiment, self.ledger, self.lease = experiment, ledger, lease
        self.before = stored_cells(ledger)
        self.written = 0

    def write(self, queue: JobQueue) -> None:
        """Writes what is known by now."""
        self.lease.require()
        cells = known_cells(self.experiment, queue.choices, self.before, queue.is_settled)
        write_experiment(self.experiment, self.ledger, queue.concurrency, self.lease.number, cells)
        self.written = len(queue.choices)

    def write_if_grown(self, queue: JobQueue) -> None:
        """Writes it again where another study was decided since."""
        if len(queue.choices) > self.written:
            self.write(queue)


def _finish(experiment: Experiment, ledger: Ledger, queue: JobQueue, lease: Lease, end: SweepEnd) -> None:
    """Opens the vault for what was confirmed, and collects what is missing or failed."""
    lease.require()
    cells = planned_cells(experiment, queue.choices)
    write_experiment(experiment, ledger, queue.concurrency, lease.number, cells, is_decided=True)
    asked = [folder for folder in ledger.confirmations() if folder.path in queue.asked]
    score_records(asked, ledger, experiment.pair_arguments, "confirm", lease)
    end.missing = missing_cells(experiment, ledger, queue.choices)
    end.missing += [
        f"{study.name}: no trial completed, nothing to confirm" for study in queue.studies if not study.winners()
    ]
    end.failed = [
        f"{study.name}, trial {outcome.number}: {outcome.reason}"
        for study in queue.studies
        for outcome in study.outcomes.values()
        if outcome.status == "failed" and outcome.reason != "diverged"
    ]
    end.failed += [
        f"{study.name}, final of trial {number}: {record.reason}"
        for study in queue.studies
        for number, record in study.finals.items()
        if record.status == "failed" and record.reason != "diverged"
    ]
    if end.missing or end.failed:
        studies = [str(study.name) for study in queue.studies]
        end.from_outside = sum(1 for _ in failed_from_outside(ledger, studies, experiment.file.confirm.methods))


def _busy_share(spans: list[dict[str, Any]], cpus: int) -> float | None:
    """The share of the CPUs' time, between the first job's start and the last one's end, that jobs computed."""
    if not spans:
        return None
    span = max(entry["ended_at"] for entry in spans) - min(entry["started_at"] for entry in spans)
    return float(sum(entry["cpu_s"] for entry in spans) / (span * cpus)) if span > 0 else None


def print_end(end: SweepEnd) -> None:
    """Says on stderr how a sweep ended."""
    if end.is_interrupted:
        _say(["interrupted: every finished trial is kept; the same command goes on from here"])
        return
    if end.slots == 0:
        _say([f"{end.ledger.path.name}: nothing is left to do"])
    elif end.busy is not None:
        _say(
            [f"{end.ran} jobs; the CPUs were {end.busy:.0%} busy between the first one's start and the last one's end"]
        )
    _say([f"missing: {line}" for line in end.missing] + [f"failed: {line}" for line in end.failed])
    if end.from_outside:
        _say(
            [
                f"{end.from_outside} failed from outside ({', '.join(FROM_OUTSIDE)}): once the cause is mended, the same command with "
                "--retry-failed runs them again"
            ]
        )


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
