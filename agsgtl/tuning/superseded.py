"""What answers another ask never counts: a trial's folder goes to `superseded/<config hash>/` once something else is asked there."""

from __future__ import annotations

from pathlib import Path

from agsgtl.durable import move_folder, set_aside
from agsgtl.errors import UserError
from agsgtl.laststate import checkpoint_hash
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Ask, Record


def superseded_place(ledger: Ledger, folder: TrialFolder, config_hash: str) -> Path:
    """Where what a folder held under that hash is kept."""
    return ledger.path / "superseded" / config_hash / folder.path.relative_to(ledger.path)


def make_room(ledger: Ledger, folder: TrialFolder, ask: Ask) -> list[str]:
    """Clears a folder whose own ask is lost of what cannot be of `ask`; a sentence where something was moved.

    The record, or else the checkpoint, tells what was asked there: beside another ask, the one would count for a trial that never
    ran, and the other would be refused for good. Reports that nothing names are set aside: the new trial may end before them.
    """
    record = folder.record()
    there = record.config_hash if record is not None else checkpoint_hash(folder)
    if there == ask.config_hash:
        return []
    if there is None:
        reports = folder.path / "progress.jsonl"
        return [f"{reports}: of a lost ask; set aside as {set_aside(reports).name}"] if reports.exists() else []
    place = superseded_place(ledger, folder, there)
    move_folder(folder.path, place)
    return [f"{folder.path}: its ask was lost, and another is made; what was there is under {place}"]


def own_record(folder: TrialFolder) -> Record | None:
    """How the trial ended that was asked in a folder, or None while it has not.

    Raises:
        UserError: the record there answers another ask, so that its score is not that of what was asked.
    """
    ask, record = folder.ask(), folder.record()
    if ask is not None and record is not None and record.config_hash != ask.config_hash:
        raise UserError(
            f"{folder.path / 'record.json'}: must answer the ask beside it, whose hash is {ask.config_hash}, got "
            f"{record.config_hash}; start the sweep again, which sets the record aside and runs the trial anew"
        )
    return record
