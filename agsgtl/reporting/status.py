"""`agsgtl status`: what is done, running and failed, and the best so far; read from the ledger alone, from any host."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.yamlfile import read_yaml

SILENT_AFTER_S = 120.0
"""A trial without a line for this long is called silent: its worker may be gone."""


@dataclass(frozen=True)
class StudyStatus:
    """One study, or all confirmations together."""

    name: str
    planned: int
    counts: Counter[str]
    best_score: float | None
    best_trial: int | None
    training_s: float
    failures: tuple[str, ...]

    @property
    def ended(self) -> int:
        """Trials that have a record."""
        return sum(self.counts[state] for state in ("complete", "pruned", "failed"))


def read_status(results: Path) -> list[StudyStatus]:
    """The state of each study, of its finals where it has some, then of the confirmations.

    Raises:
        UserError: the folder holds no experiment.
    """
    ledger = Ledger(results)
    if not ledger.experiment_file.exists():
        raise UserError(
            f"{results}: holds no experiment.yaml; name a folder that `agsgtl sweep` wrote, like results/quickstart"
        )
    content = read_yaml(ledger.experiment_file)
    studies = []
    for name in ledger.studies():
        studies.append(_status(name, ledger.trials(name), content["search"]["trials"]))
        if finals := _finals_now(ledger.finals(name), content["search"].get("finalists", 0)):
            studies.append(_status(f"{name}, finals", finals, len(finals)))
    confirmations = list(ledger.confirmations())
    return [
        *studies,
        _status("confirmations", confirmations, max(len(confirmations), len(content.get("confirm_cells", [])))),
    ]


def _finals_now(finals: list[TrialFolder], finalists: int) -> list[TrialFolder]:
    """As many as there are finalists now: where there were more before, finals lie there that nobody runs."""
    return sorted(finals, key=lambda folder: not folder.has_record())[:finalists]


def render_status(results: Path) -> str:
    """The state as text; the time left follows from the trainings done and those that run at once."""
    rows = read_status(results)
    lines = [f"{results}"]
    for row in rows:
        states = ", ".join(f"{count} {state}" for state, count in sorted(row.counts.items()) if state != "complete")
        best = (
            f"; best {row.best_score:.4f} (trial {row.best_trial})"
            if row.best_score is not None and row.best_trial is not None
            else ""
        )
        lines.append(
            f"  {row.name}: {row.counts['complete']} of {row.planned} complete{', ' + states if states else ''}{best}"
        )
        lines += [f"    {failure}" for failure in row.failures]
    left = time_left_s(rows)
    if left:
        lines.append(f"about {left / 60:.0f} min left, by the trainings done so far")
    return "\n".join(lines)


def time_left_s(rows: list[StudyStatus]) -> float | None:
    """Seconds left at the mean cost of the trainings done and the number that run at once; None where it cannot be said."""
    running = sum(row.counts["running"] for row in rows)
    seconds = sum(row.training_s / row.ended * (row.planned - row.ended) for row in rows if row.ended)
    return seconds / running if running and seconds else None


def _status(name: str, folders: list[TrialFolder], planned: int) -> StudyStatus:
    counts: Counter[str] = Counter()
    best: tuple[float, int] | None = None
    training_s, failures = 0.0, []
    for folder in folders:
        record = folder.record()
        if record is None:
            counts[_state_of_unfinished(folder)] += 1
            continue
        counts[record.status] += 1
        training_s += record.cost.duration_s
        if record.status == "failed":
            failures.append(f"{folder.path.name}: {record.reason}: {_last_line(record.message)}")
        if record.status == "complete" and record.score is not None and (best is None or record.score > best[0]):
            best = record.score, record.identity.number
    is_study = name != "confirmations"
    return StudyStatus(
        name,
        planned,
        counts,
        best[0] if best and is_study else None,
        best[1] if best and is_study else None,
        training_s,
        tuple(failures),
    )


def _state_of_unfinished(folder: TrialFolder) -> str:
    attempts = folder.attempts()
    if not attempts:
        return "waiting"
    progress = folder.path / "progress.jsonl"
    latest = max(float(attempts[-1].get("time", 0)), progress.stat().st_mtime if progress.exists() else 0.0)
    return "running" if time.time() - latest < SILENT_AFTER_S else "silent"


def _last_line(message: str | None) -> str:
    lines = (message or "").strip().splitlines()
    return lines[-1] if lines else ""
