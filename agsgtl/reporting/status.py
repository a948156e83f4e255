"""`agsgtl status`: what is done, running and failed, and the best so far; read from the ledger alone, from any host."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Record, by_score
from agsgtl.yamlfile import read_yaml

SILENT_AFTER_S = 120.0
"""A trial without a line for this long is called silent: its worker may be gone."""

_Run = tuple[TrialFolder, Record | None]


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
    """The state of each study, of its finals once they are known, then of the confirmations.

    Raises:
        UserError: the folder holds no experiment.
    """
    ledger = Ledger(results)
    if not ledger.experiment_file.exists():
        raise UserError(
            f"{results}: holds no experiment.yaml; name a folder that `agsgtl sweep` wrote, like results/quickstart"
        )
    content = read_yaml(ledger.experiment_file)
    trials, finalists = content["search"]["trials"], content["search"].get("finalists", 0)
    studies = []
    for name in ledger.studies():
        runs = _read(ledger.trials(name))
        studies.append(_status(name, runs, trials))
        if numbers := _finalists(runs, trials, finalists):
            finals = [folder for folder in ledger.finals(name) if int(folder.path.name) in numbers]
            studies.append(_status(f"{name}, finals", _read(finals), len(numbers)))
    confirmations = _read(ledger.confirmations())
    return [
        *studies,
        _status("confirmations", confirmations, max(len(confirmations), len(content.get("confirm_cells", [])))),
    ]


def _read(folders: Iterable[TrialFolder]) -> list[_Run]:
    return [(folder, folder.record()) for folder in folders]


def _finalists(runs: Sequence[_Run], trials: int, count: int) -> set[int]:
    """The numbers of the trials whose finals count: the best by score once all have ended, as the search picks them.

    Finals of trials that were among the best before the search was extended lie beside them, and nobody asks for those.
    """
    records = [record for _, record in runs if record is not None]
    if len(records) < max(trials, len(runs)):
        return set()
    complete = [record for record in records if record.status == "complete"]
    ranked = sorted(complete, key=lambda record: by_score(record.score, record.identity.number))
    return {record.identity.number for record in ranked[:count]}


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


def _status(name: str, runs: Sequence[_Run], planned: int) -> StudyStatus:
    counts: Counter[str] = Counter()
    best: tuple[float, int] | None = None
    training_s, failures = 0.0, []
    for folder, record in runs:
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
