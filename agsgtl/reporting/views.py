"""The tables that `agsgtl table --view` prints, by name; those of classes and of labelled counts are made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from agsgtl.errors import UserError, did_you_mean
from agsgtl.reporting.ablation import ablation_table
from agsgtl.reporting.cells import AVERAGE, TITLES, Cell
from agsgtl.reporting.confirmed import Confirmed, read_confirmed
from agsgtl.reporting.cost import cost_tables
from agsgtl.reporting.layout import Block, Document, Sentences, Text, cell_text, lay_out
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.marks import mark_cells
from agsgtl.reporting.rows import Row
from agsgtl.reporting.statviews import (
    NO_IMPORTANCES,
    Measure,
    comparison_tables,
    importance_tables,
    interval_tables,
    rank_tables,
    search_studies,
    selection_tables,
    spread_tables,
)
from agsgtl.reporting.store import stored_frame
from agsgtl.reporting.table import build_table, known_metric
from agsgtl.reporting.trialcounts import trial_tables
from agsgtl.reporting.vaultlog import read_openings

_SUMMARY = ("overall_accuracy", "balanced_accuracy", "macro_f1", "mean_iou", "kappa")


def build_view(
    results: Sequence[Path],
    view: str,
    metric: str | None = None,
    reference: str | None = None,
    measure: Measure | None = None,
) -> Document:
    """A document of tables, for `export.render`.

    Args:
        results: folders that sweeps wrote.
        view: one of `NAMES`; `methods` is the table.
        metric: default macro F1; `classes`, `importances`, `trials` and `cost` have no use for it.
        reference: the experiment that ablations are compared with, default the first of `results` that has a part in it; the
            method that `comparisons` compares with the others, default the best of each column.
        measure: `tuning.importances.measure_importances`, for the view of importances; without it that one is empty.

    Raises:
        UserError: the view, metric or reference is unknown, or as `build_table`.
    """
    if view not in NAMES:
        raise UserError(f"--view {view}: is no view of the table; {did_you_mean(view, NAMES)}")
    if view == "methods":
        return lay_out(build_table(results, metric))
    for path in results:
        read_openings(Ledger(path))  # a broken chain is an error in every table
    if view == "importances":
        frame = stored_frame(results)
        return importance_tables(measure(frame) if measure else NO_IMPORTANCES, search_studies(frame))
    if view in FROM_RECORDS:
        return FROM_RECORDS[view](stored_frame(results))
    confirmed, chosen = read_confirmed(results), known_metric(metric or "macro_f1")
    if view in ("ablation", "comparisons"):
        return (ablation_table if view == "ablation" else comparison_tables)(confirmed, chosen, reference)
    return VIEWS[view](confirmed, chosen)


def class_tables(confirmed: Confirmed, metric: str = "macro_f1") -> Document:
    """One block a pair and k: F1 of each class, then overall, average accuracy, macro F1, mean IoU and kappa."""
    names = [name for name in confirmed.records.columns if name.startswith("f1:")]
    cells = {name: confirmed.cells(name) for name in (*names, *_SUMMARY)}
    blocks = []
    for pair in confirmed.pairs:
        for k in sorted({row.per_class for row in confirmed.rows}):
            rows = [row for row in confirmed.rows if row.per_class == k]
            there = [name for name in names if any(cells[name][row, pair].n for row in rows)]
            lines = tuple(_class_line(name, rows, pair, cells[name]) for name in (*there, *_SUMMARY))
            header = ("class", *(row.name for row in rows))
            blocks.append(Block(f"{pair}:{k}", f"{pair}, k = {k}: F1 of each class, then overall (%)", header, lines))
    note = ("Mean ± sd (ddof 1) over confirmation seeds. Kappa stands for comparability only.",)
    return Document(tuple(blocks), (Sentences("note", "", note),))


def label_tables(confirmed: Confirmed, metric: str = "macro_f1") -> Document:
    """One block a pair and one for the average: methods x k, the labelled target pixels a class."""
    counts = sorted({row.per_class for row in confirmed.rows})
    cells = confirmed.cells(metric)
    by_place = {(row.method, row.tag, row.per_class): row for row in confirmed.rows}
    methods = list(dict.fromkeys((row.method, row.tag) for row in confirmed.rows))
    header = ("method", *(f"k = {k}" for k in counts))
    blocks = []
    for column in (*confirmed.pairs, AVERAGE):
        lines = []
        for method, tag in methods:
            rows = [by_place.get((method, tag, k)) for k in counts]
            texts = [
                Text(cell_text(cells[row, column]), state=cells[row, column].state) if row else Text("–")
                for row in rows
            ]
            lines.append((Text(method + (f" ({tag})" if tag else "")), *texts))
        blocks.append(Block(column, f"{column}: {TITLES[metric]} by labelled pixels a class (%)", header, tuple(lines)))
    note = ("Mean ± sd (ddof 1) over confirmation seeds; validation pixels come on top of k.",)
    return Document(tuple(blocks), (Sentences("note", "", note),))


def _class_line(name: str, rows: Sequence[Row], pair: str, cells: Mapping[tuple[Row, str], Cell]) -> tuple[Text, ...]:
    marks = mark_cells(rows, [pair], cells)
    found = [(cells[row, pair], marks.get((row, pair), frozenset())) for row in rows]
    title = TITLES[name].removesuffix(" (for comparability only)") if name in TITLES else name.removeprefix("f1:")
    return (Text(title), *(Text(cell_text(cell), mark, cell.state) for cell, mark in found))


VIEWS: Mapping[str, Callable[[Confirmed, str], Document]] = {
    "classes": class_tables,
    "labels": label_tables,
    "intervals": interval_tables,
    "comparisons": comparison_tables,
    "ranks": rank_tables,
    "spread": spread_tables,
    "selection": selection_tables,
}

FROM_RECORDS: Mapping[str, Callable[[pd.DataFrame], Document]] = {"trials": trial_tables, "cost": cost_tables}
"""Views of all records, those of the search above all, by a tidy frame."""

NAMES = ("methods", *VIEWS, "ablation", "importances", *FROM_RECORDS)
"""Every view that a user may ask for."""
