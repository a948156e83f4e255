"""The table: methods x pairs and their average, every cell a mean over confirmation seeds on the fixed test pool."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from agsgtl.errors import UserError, did_you_mean
from agsgtl.reporting.cells import AVERAGE, Cell, Mark, Table, average_cell
from agsgtl.reporting.confirmed import Confirmed, read_confirmed
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.marks import compare_with_best, mark_cells
from agsgtl.reporting.notes import write_note
from agsgtl.reporting.rows import Row
from agsgtl.reporting.statistics import STUDY, best_trials, wholly_scored
from agsgtl.reporting.tidy import METRICS, split_by
from agsgtl.reporting.vaultlog import Looks, read_looks

TABLE_METRICS = METRICS[:4]


def build_table(results: Sequence[Path], metric: str | None = None) -> Table:
    """The table over one or many experiments.

    Args:
        results: folders that sweeps wrote, `results/<experiment>`.
        metric: one of `METRICS`; None gives macro F1, balanced accuracy, mean IoU and overall accuracy.

    Raises:
        UserError: the metric is unknown, a folder or a record is damaged, or nothing was confirmed or planned.
    """
    metrics = TABLE_METRICS if metric is None else (known_metric(metric),)
    return table_of(read_confirmed(results), metrics, [read_looks(Ledger(path)) for path in results])


def known_metric(metric: str) -> str:
    """The metric itself; a UserError where it is none of `METRICS`."""
    if metric not in METRICS:
        raise UserError(f"--metric {metric}: is no metric of the table; {did_you_mean(metric, METRICS)}")
    return metric


def table_of(confirmed: Confirmed, metrics: Sequence[str], looks: Sequence[Looks] = ()) -> Table:
    """The table of confirmed records; `looks` are the vaults' logs, for the note.

    The first metric alone is tested, so that the adjustment covers every comparison printed with the table.
    """
    oracles = oracle_rows(confirmed.frame)
    cells = {
        (metric, *place): cell for metric in metrics for place, cell in all_cells(confirmed, oracles, metric).items()
    }
    rows = (*confirmed.rows, *(row for row, _ in oracles))
    table = _marked(Table(tuple(metrics), rows, (*confirmed.pairs, AVERAGE), cells))
    return dataclasses.replace(table, note=write_note(table, confirmed, looks))


def all_cells(
    confirmed: Confirmed, oracles: Sequence[tuple[Row, pd.DataFrame]], metric: str
) -> dict[tuple[Row, str], Cell]:
    """The cells of one metric by (row, column), those of the oracle rows among them."""
    cells = confirmed.cells(metric)
    for row, trials in oracles:
        found = {(row, pair): _oracle_cell(trials, pair, metric) for pair in confirmed.pairs}
        cells |= found | {(row, AVERAGE): average_cell(list(found.values()))}
    return cells


def oracle_rows(frame: pd.DataFrame) -> list[tuple[Row, pd.DataFrame]]:
    """Per tuned method and k: the row of the trial that scored best on the *test* pool, and those trials' outcomes.

    Only studies whose search trials were all opened by `agsgtl evaluate --trials` have one.
    """
    scored = wholly_scored(frame)
    per_trial = scored.groupby([*STUDY, "number"], dropna=False, as_index=False)[["macro_f1"]].mean()
    best = scored.merge(best_trials(per_trial, "macro_f1")[[*STUDY, "number"]], on=[*STUDY, "number"])
    several_k = best["per_class"].nunique(dropna=False) > 1
    several_experiments = best["experiment"].nunique() > 1
    found = []
    for (experiment, method, per_class), trials in split_by(best, ["experiment", "method", "per_class"]):
        name = method + (f" ({experiment})" if several_experiments else "") + ", oracle choice (search seeds)"
        sampled = pd.isna(per_class)
        name += (", sampled k" if sampled else f", k = {per_class}") if several_k else ""
        found.append((Row(method, 0 if sampled else int(per_class), experiment, name, oracle=True), trials))
    return found


def _marked(table: Table) -> Table:
    comparisons = compare_with_best(table.rows, table.columns, table.of(table.metrics[0]))
    marks: dict[tuple[str, Row, str], frozenset[Mark]] = {}
    for metric in table.metrics:
        tested = comparisons if metric == table.metrics[0] else ()
        found = mark_cells(table.rows, table.columns, table.of(metric), tested)
        marks |= {(metric, *place): mark for place, mark in found.items()}
    return dataclasses.replace(table, comparisons=comparisons, marks=marks)


def _oracle_cell(trials: pd.DataFrame, pair: str, metric: str) -> Cell:
    here = trials[trials["pair"] == pair].sort_values("label_seed")
    values = dict(zip(here["label_seed"].tolist(), here[metric].tolist(), strict=True))
    return Cell(values, len(values), {}, len(values))
