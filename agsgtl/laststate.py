"""A trial's last state: saved now and then while it trains, and what a trial that was stopped goes on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agsgtl.durable import set_aside
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Attempt, TrialFolder
from agsgtl.seedrun import SeedRun
from agsgtl.training import checkpoint
from agsgtl.training.checkpoint import Tensors

CHECKPOINT_EVERY_S = 20.0
"""Seconds between checkpoints: the most that a killed trial repeats."""

LAST, BEST = "last.safetensors", "best.safetensors"
"""In a trial's folder `checkpoint`: all that going on needs; and the kept weights, by seed, with what trained beside them."""
BESIDE = "beside"
"""Before the seed, in the names of the latter."""


class LastState:
    """Where a trial's state is saved and found again; without an attempt, nowhere."""

    def __init__(self, attempt: Attempt | None, outcome_hash: str) -> None:
        self.attempt = attempt
        self.file = attempt.folder.checkpoint / LAST if attempt else None
        self.best = attempt.folder.checkpoint / BEST if attempt else None
        self.outcome_hash = outcome_hash
        self.saved_at = time.monotonic()

    def restore(self, runs: Sequence[SeedRun]) -> int:
        """The epoch that the runs go on from: 0 where there is no checkpoint, or a damaged one, which is set aside."""
        if self.file is None or not self.file.exists():
            return 0
        try:
            tensors, facts = checkpoint.load(self.file)
        except UserError:
            set_aside(self.file)
            return 0
        _require_same(self.file, facts["outcome_hash"], self.outcome_hash)
        for index, (run, run_facts) in enumerate(zip(runs, facts["runs"], strict=True)):
            run.restore(checkpoint.under(str(index), tensors), run_facts)
        return int(facts["epoch"])

    def save_if_due(self, runs: Sequence[SeedRun], epoch: int) -> None:
        """Saves where the last time was long ago."""
        if time.monotonic() - self.saved_at > CHECKPOINT_EVERY_S:
            self.save(runs, epoch)

    def save(self, runs: Sequence[SeedRun], epoch: int, keeps: bool = False) -> None:
        """Puts the runs' state in the place of the last one.

        Only weights that `keeps` says will stay with a record wait for the disk: what a power cut tears before that is
        set aside by `restore`, and the epochs are trained again. Of the epochs that are not, the reports wait for it.
        """
        if self.attempt is None or self.file is None or self.best is None:
            return
        self.attempt.require_current()
        self.attempt.folder.sync_progress()
        facts = {"epoch": epoch, "outcome_hash": self.outcome_hash, "runs": [run.facts() for run in runs]}
        checkpoint.save(self.file, _of_all(runs, SeedRun.tensors), facts, sync=False)
        kept = _of_all(runs, SeedRun.kept_weights)
        kept |= checkpoint.prefixed(BESIDE, _of_all(runs, SeedRun.networks_beside))
        checkpoint.save(self.best, kept, {"epochs": [run.epoch for run in runs]}, sync=keeps)
        self.saved_at = time.monotonic()


def require_own_checkpoint(folder: TrialFolder, outcome_hash: str) -> None:
    """Refuses a folder with the checkpoint of another trial, before anything is written there.

    A damaged one is left for the trial to set aside.

    Raises:
        UserError: the checkpoint is of a trial with another hash.
    """
    if there := checkpoint_hash(folder):
        _require_same(folder.checkpoint / LAST, there, outcome_hash)


def checkpoint_hash(folder: TrialFolder) -> str | None:
    """The hash of the trial that a folder's checkpoint is of; None where there is none, or a damaged one."""
    file = folder.checkpoint / LAST
    if not file.exists():
        return None
    try:
        _, facts = checkpoint.load(file)
    except UserError:
        return None
    return str(facts["outcome_hash"])


def _require_same(file: Path, there: str, outcome_hash: str) -> None:
    if there != outcome_hash:
        raise UserError(
            f"{file}: is the checkpoint of another trial; give the arguments that it was started with, or choose an empty folder"
        )


def _of_all(runs: Sequence[SeedRun], tensors: Callable[[SeedRun], Tensors]) -> Tensors:
    return {
        name: tensor
        for index, run in enumerate(runs)
        for name, tensor in checkpoint.prefixed(str(index), tensors(run)).items()
    }
