"""The thin piece between Ray Tune and our queue: Tune asks it for a config, and tells it what has ended."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from agsgtl.durable import NotWritable
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import TrialFolder
from agsgtl.trial import failed_record
from agsgtl.tuning.jobs import Job, JobQueue
from agsgtl.tuning.packing import Packing, kind_of
from agsgtl.tuning.worker import NOT_WRITABLE, OUT_OF_SIGHT

DEATHS = 3
"""So many lost workers in a row without an epoch between them are the trial's own fault."""

LIMITLESS = 10**9


class LedgerSearcher(Searcher):
    """Hands out the jobs of a queue, never more at once than there are slots, while the driver holds its lease.

    Optuna is not told here: a `Study` is, from the record. What Ray knows of a trial is its end. An error that ends the
    sweep (a full disk, a lost lease) is kept in `fatal`: raised inside Tune, it would come out as something else.
    """

    def __init__(self, queue: JobQueue, slots: int, before_each_write: Callable[[], None]) -> None:
        super().__init__(metric="ended_at", mode="max")
        self.queue, self.slots, self.before_each_write = queue, slots, before_each_write
        self.fatal: UserError | None = None
        self.packing = Packing(queue.experiment.file.resources.gpu)
        for study in queue.studies:
            for outcome in study.outcomes.values():
                self.packing.learn((study.name.method, study.name.pair), outcome.cost.model_dump())
        self.lost: Counter[str] = Counter()
        self.jobs: dict[str, Job] = {}
        self.spans: list[dict[str, Any]] = []

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next job as a Ray trial's config, None where one has to wait, FINISHED at the end."""
        if self.queue.is_finished or self.fatal or (self.queue.is_stopping and not self.queue.running):
            return str(Searcher.FINISHED)
        if len(self.queue.running) >= self.slots:
            return None
        try:
            self.before_each_write()
            job = self.queue.next()
        except UserError as error:
            self.fatal = error
            return None
        if job is None:
            return None
        self.jobs[trial_id] = job
        values = dataclasses.asdict(job)
        return {"job": {**values, "gpu": self.packing.share(kind_of(values), job.is_alone), **self._surroundings()}}

    def _surroundings(self) -> dict[str, Any]:
        """What a worker needs besides the job: where the ledger is, who asks, and what becomes of failures."""
        failures = self.queue.experiment.file.failures
        retries = {reason: LIMITLESS if count is None else count for reason, count in failures.allowed.items()}
        return {
            "results": str(self.queue.ledger.path),
            "lease": self.queue.lease,
            "retries": retries,
            "timeout_s": failures.timeout_s or math.inf,
        }

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Takes note of a job's end; a trial whose worker died for good gets its record here."""
        job = self.jobs.pop(trial_id)
        self.packing.learn(kind_of(dataclasses.asdict(job)), result or {})
        if result and "cpu_s" in result:
            self.spans.append({name: result[name] for name in ("started_at", "ended_at", "cpu_s")})
        if result and NOT_WRITABLE in result:
            self.fatal = NotWritable(result[NOT_WRITABLE])
        try:
            self.before_each_write()  # a driver that was taken over says nothing of its successor's trials, and plans none
            if error and job.kind == "trial":
                self._note_death(TrialFolder(self.queue.ledger.path / job.folder))
            if blindness := (result or {}).get(OUT_OF_SIGHT):
                self._note_blindness(job, blindness)
            lost_model = error and job.kind == "source_model" and self._may_go_on_losing(job)
            self.queue.done(job, is_lost=bool(blindness) or lost_model)
        except UserError as fatal:
            self.fatal = fatal

    def _may_go_on_losing(self, job: Job) -> bool:
        """Whether a job that was lost once more, and got nowhere, is issued again: as often as a trial that gets nowhere."""
        self.lost[job.key] += 1
        allowed = self.queue.experiment.file.failures.allowed["node_lost"]
        return self.lost[job.key] < DEATHS and (allowed is None or self.lost[job.key] <= allowed)

    def _note_blindness(self, job: Job, blindness: str) -> None:
        """A host that does not see the results gave a job back: the user hears of it, and too often ends the sweep.

        No trial fails for it: such a host, which is always free, would be through with all of them in no time.
        """
        remedy = "mount the results there at the same path, or take that node out of the cluster"
        if not self._may_go_on_losing(job):
            raise UserError(f"{blindness}, and {job.key} came back {self.lost[job.key]} times for it; {remedy}")
        print(f"{blindness}, and gave {job.key} back; {remedy}", file=sys.stderr, flush=True)

    def _note_death(self, folder: TrialFolder) -> None:
        """A worker's process or its node is gone: the trial goes on elsewhere, unless it dies where it stands."""
        ask = folder.ask()
        if ask is None or folder.has_record():
            return
        message = "the worker's process or its node was lost; Ray's logs on its host may say why"
        folder.append_failure("node_lost", message, self.queue.lease)
        deaths = [failure for failure in folder.failures() if failure["reason"] == "node_lost"]
        stuck = len(deaths) >= DEATHS and len({death["epoch"] for death in deaths[-DEATHS:]}) == 1
        allowed = self.queue.experiment.file.failures.allowed["node_lost"]
        if stuck or (allowed is not None and len(deaths) > allowed):
            folder.write_record(failed_record(ask, "node_lost", f"{message}; {len(deaths)} times"))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Learns how much GPU memory the job needs; progress is read from the ledger."""
        self.packing.learn(kind_of(dataclasses.asdict(self.jobs[trial_id])), result)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing to pickle either: Tune writes its state in passing, and nobody reads it."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the truth, and Ray's state is never restored."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called, for the same reason."""
        raise NotImplementedError("a sweep goes on from its ledger, not from Ray's state")
