"""`agsgtl status`: what is done, running and failed, and the best so far; read from the ledger alone, from any host."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agsgtl.errors import UserError
from agsgtl.reporting.finalists import pooled_scores
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Record, by_score
from agsgtl.yamlfile import read_yaml

SILENT_AFTER_S = 120.0
"""A trial without a line for this long is called silent: its worker may be gone."""

_Run = tuple[TrialFolder, Record | None]


@dataclass(frozen=True)
class StudyStatus:
    """One study, its finals, or all confirmations together.

    `best_trial` is the best so far, of finals by all seeds that its trial and its final had; the winner where it `is_chosen`.
    """

    name: str
    planned: int
    counts: Counter[str]
    best_score: float | None
    best_trial: int | None
    training_s: float
    failures: tuple[str, ...]
    is_chosen: bool = False

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
    studies = [row for name in ledger.studies() for row in _search(name, ledger, content["search"])]
    confirmations = _read(ledger.confirmations())
    return [
        *studies,
        _status("confirmations", confirmations, max(len(confirmations), len(content.get("confirm_cells", [])))),
    ]


def _search(name: str, ledger: Ledger, search: Mapping[str, Any]) -> Iterator[StudyStatus]:
    """A study, and its finals where they are known.

    These are the finals of the best trials by score once all have ended, as the search picks them. Finals of trials that
    were among the best before the search was extended lie beside them, and nobody asks for those.
    """
    runs = _read(ledger.trials(name))
    ranked = _ranked(runs)
    has_ended = sum(record is not None for _, record in runs) >= max(search["trials"], len(runs))
    finalists = dict(list(ranked.items())[: search.get("finalists", 0)]) if has_ended else {}
    is_decided = has_ended and not finalists and search.get("objectives", "score") == "score"
    yield replace(_status(name, runs, search["trials"], _first(ranked)), is_chosen=is_decided)
    if finalists:
        finals = _read(folder for folder in ledger.finals(name) if int(folder.path.name) in finalists)
        ended = {record.identity.number: record for _, record in finals if record is not None}
        pooled = pooled_scores(finalists, len(search["seeds"]), ended)
        is_decided = len(ended) == len(finalists)
        best = _first(pooled or (finalists if is_decided else {}))  # all failed: as the search saw it
        yield replace(_status(f"{name}, finals", finals, len(finalists), best), is_chosen=is_decided)


def _ranked(runs: Sequence[_Run]) -> dict[int, float]:
    """The scores of the complete trials by number, best first."""
    complete = [record for _, record in runs if record is not None and record.status == "complete"]
    scores = {record.identity.number: record.score for record in complete if record.score is not None}
    return dict(sorted(scores.items(), key=lambda entry: by_score(entry[1], entry[0])))


def _first(ranked: Mapping[int, float]) -> tuple[int, float] | None:
    return next(iter(ranked.items()), None)


def _read(folders: Iterable[TrialFolder]) -> list[_Run]:
    return [(folder, folder.record()) for folder in folders]


def render_status(results: Path) -> str:
    """The state as text; the time left follows from the trainings done and those that run at once."""
    rows = read_status(results)
    lines = [f"{results}"]
    for row in rows:
        states = ", ".join(f"{count} {state}" for state, count in sorted(row.counts.items()) if state != "complete")
        lines.append(
            f"  {row.name}: {row.counts['complete']} of {row.planned} complete{', ' + states if states else ''}{_best(row)}"
        )
        lines += [f"    {failure}" for failure in row.failures]
    left = time_left_s(rows)
    if left:
        lines.append(f"about {left / 60:.0f} min left, by the trainings done so far")
    return "\n".join(lines)


def _best(row: StudyStatus) -> str:
    if row.best_score is None:
        return ""
    if row.is_chosen:
        return f"; chosen: trial {row.best_trial}, {row.best_score:.4f}"
    return f"; best {row.best_score:.4f} (trial {row.best_trial})"


def time_left_s(rows: list[StudyStatus]) -> float | None:
    """Seconds left at the mean cost of the trainings done and the number that run at once; None where it cannot be said."""
    running = sum(row.counts["running"] for row in rows)
    seconds = sum(row.training_s / row.ended * (row.planned - row.ended) for row in rows if row.ended)
    return seconds / running if running and seconds else None


def _status(name: str, runs: Sequence[_Run], planned: int, best: tuple[int, float] | None = None) -> StudyStatus:
    counts: Counter[str] = Counter()
    training_s, failures = 0.0, []
    for folder, record in runs:
        if record is None:
            counts[_state_of_unfinished(folder)] += 1
            continue
        counts[record.status] += 1
        training_s += record.cost.duration_s
        if record.status == "failed":
            failures.append(f"{folder.path.name}: {record.reason}: {_last_line(record.message)}")
    number, score = best or (None, None)
    return StudyStatus(name, planned, counts, score, number, training_s, tuple(failures))


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
