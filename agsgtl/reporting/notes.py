"""The note below a table: what a reader must know before believing a number in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from agsgtl.reporting.cells import Cell
from agsgtl.reporting.plan import Plan
from agsgtl.reporting.rows import Row


def write_note(
    records: pd.DataFrame,
    planned: pd.DataFrame,
    rows: Sequence[Row],
    cells: Mapping[tuple[str, Row, str], Cell],
    plans: Sequence[Plan],
) -> tuple[str, ...]:
    """The sentences of the note; the same records give the same sentences, whatever the order of folders."""
    return (
        _seeds(cells),
        *_labels(records),
        *_tuning(rows, plans),
        *_selection(records),
        *_gaps(cells),
        *_seed_sets(rows, cells),
        *_mixed_configs(records),
        *_oracle(rows),
        *sorted({warning for plan in plans for warning in plan.warnings}),
    )


def _seeds(cells: Mapping[tuple[str, Row, str], Cell]) -> str:
    counts = sorted({cell.n for (_, row, _), cell in cells.items() if cell.n and not row.oracle})
    if not counts:
        return "No confirmed record has test scores yet."
    text = f"Percent on the fixed test pool, mean ± sd (ddof 1) over n = {_join(counts, 'or')} confirmation seeds"
    return text + ("; a cell of n = 1 has no sd." if 1 in counts else ".")


def _labels(records: pd.DataFrame) -> Iterable[str]:
    used = (
        records[["per_class", "validation_per_class"]]
        .drop_duplicates()
        .sort_values(["per_class", "validation_per_class"])
    )
    counts = [f"{k} + {v}" if pd.notna(v) else f"{k} + ?" for k, v in used.itertuples(index=False)]
    if counts:
        yield f"Labelled target pixels a class, k training + v validation: {_join(counts, 'or')}."
    yield "Transductive: methods that adapt see all pixels of the target scene, test pixels included, without their labels."


def _tuning(rows: Sequence[Row], plans: Sequence[Plan]) -> Iterable[str]:
    tuned = [row for row in rows if row.tuned_trials]
    if not tuned:
        return
    trials = {count for row in tuned for count in row.tuned_trials}
    listed = _join(sorted({f"{row.method} ({_range(row.tuned_trials)})" for row in tuned}), "and")
    yield f"Tuned, with the number of trials per study: {listed}; all other methods ran at fixed settings."
    if len(trials) > 1:
        yield f"Caution: tuned methods were given unequal numbers of trials ({_range(trials)})."
    untuned = sorted({method for plan in plans for method in plan.tunable_but_untuned} - {row.method for row in tuned})
    if untuned:
        yield f"Caution: {_join(untuned, 'and')} could have been tuned too and {'was' if len(untuned) == 1 else 'were'} not."


def _selection(records: pd.DataFrame) -> Iterable[str]:
    rules = sorted(set(records.loc[records["origin_trial"].notna(), "select"].dropna()))
    if rules:
        yield f"Configurations were selected by {_join(rules, 'or')}."


def _gaps(cells: Mapping[tuple[str, Row, str], Cell]) -> Iterable[str]:
    states = {cell.state for cell in cells.values()}
    if "missing" in states:
        yield "'not run': planned and not there yet."
    if "incomplete" in states:
        yield "'(n of m)': only n of m planned seeds have test scores."
    if any(cell.failures for cell in cells.values()):
        yield "Failed seeds are named with their reason and are not in the mean, which flatters methods that fail."
    if "absent" in states:
        yield "'–': never planned, or no average because a pair has no number."


def _seed_sets(rows: Sequence[Row], cells: Mapping[tuple[str, Row, str], Cell]) -> Iterable[str]:
    sets = {
        frozenset(cell.values)
        for (_, row, column), cell in cells.items()
        if cell.n and not row.oracle and column != "average"
    }
    if len(sets) > 1:
        yield "Caution: cells have unequal sets of seeds, so differences between rows are not paired throughout."


def _mixed_configs(records: pd.DataFrame) -> Iterable[str]:
    distinct = records.groupby(["method", "per_class", "tag", "pair"])["settings"].nunique()
    mixed = [f"{method} on {pair}" for method, _, _, pair in distinct[distinct > 1].index]
    if mixed:
        yield f"Caution: the seeds of {_join(sorted(set(mixed)), 'and')} were trained with different settings."


def _oracle(rows: Sequence[Row]) -> Iterable[str]:
    if any(row.oracle for row in rows):
        yield "Oracle rows: per study the search trial with the best test score, on search seeds; no result of selection, no method."


def _range(counts: Iterable[int]) -> str:
    ordered = sorted(set(counts))
    return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _join(words: Sequence[object], last: str) -> str:
    texts = [str(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"
