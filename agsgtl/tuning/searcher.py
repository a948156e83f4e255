"""The thin piece between Ray Tune and our queue: Tune asks it for a config, and tells it what has ended."""

from __future__ import annotations

import dataclasses
from typing import Any

from ray.tune.search import Searcher

from agsgtl.reporting.ledger import TrialFolder
from agsgtl.trial import failed_record
from agsgtl.tuning.jobs import Job, JobQueue


class LedgerSearcher(Searcher):
    """Hands out the jobs of a queue, never more at once than there are slots.

    Optuna is not told here: a `Study` is, from the record. What Ray knows of a trial is its end.
    """

    def __init__(self, queue: JobQueue, slots: int) -> None:
        super().__init__(metric="ended_at", mode="max")
        self.queue, self.slots = queue, slots
        self.jobs: dict[str, Job] = {}
        self.spans: list[dict[str, Any]] = []

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job as a Ray trial's config, None where one has to wait, FINISHED at the end."""
        if self.queue.is_finished:
            return str(Searcher.FINISHED)
        if len(self.queue.running) >= self.slots:
            return None
        job = self.queue.next()
        if job is None:
            return None
        self.jobs[trial_id] = job
        return {"job": {**dataclasses.asdict(job), "results": str(self.queue.ledger.path)}}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Takes note of a job's end; a trial whose worker died for good gets its record here."""
        job = self.jobs.pop(trial_id)
        if result and "cpu_s" in result:
            self.spans.append({name: result[name] for name in ("started_at", "ended_at", "cpu_s")})
        if job.kind == "trial":
            self._require_record(TrialFolder(self.queue.ledger.path / job.folder))
        self.queue.done(job)

    def _require_record(self, folder: TrialFolder) -> None:
        ask = folder.ask()
        if ask is not None and not folder.has_record():
            message = "the worker's process died again and again without leaving a record; see Ray's logs on its host"
            folder.write_record(failed_record(ask, "error", message))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: progress is read from the ledger."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing to pickle either: Tune writes its state in passing, and nobody reads it."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the truth, and Ray's state is never restored."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called, for the same reason."""
        raise NotImplementedError("a sweep goes on from its ledger, not from Ray's state")
