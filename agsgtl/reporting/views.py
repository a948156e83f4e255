"""Other tables from the same records: classes x methods, accuracy by labelled count, and ablations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from agsgtl.config import HYPERPARAMETERS
from agsgtl.errors import UserError, did_you_mean
from agsgtl.reporting.cells import AVERAGE, TITLES, Cell, Comparison
from agsgtl.reporting.confirmed import Confirmed, read_confirmed
from agsgtl.reporting.layout import Block, Document, Sentences, Text, cell_text, comparison_text, lay_out, words
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.marks import mark_cells
from agsgtl.reporting.rows import KEYS, Row
from agsgtl.reporting.statistics import compare_over_pairs, compare_paired, holm
from agsgtl.reporting.table import build_table, known_metric
from agsgtl.reporting.vaultlog import read_openings

_SUMMARY = ("overall_accuracy", "balanced_accuracy", "macro_f1", "mean_iou", "kappa")
_SHOWN_CHANGES = 3


def build_view(results: Sequence[Path], view: str, metric: str | None = None, reference: str | None = None) -> Document:
    """A document of tables, for `export.render`.

    Args:
        results: folders that sweeps wrote.
        view: `methods` (the table), `classes`, `labels` or `ablation`.
        metric: for all but `classes`; default macro F1 for `labels` and `ablation`.
        reference: the experiment that ablations are compared with; default the first by name.

    Raises:
        UserError: the view, metric or reference is unknown, or as `build_table`.
    """
    if view == "methods":
        return lay_out(build_table(results, metric))
    if view not in VIEWS:
        raise UserError(f"--view {view}: is no view of the table; {did_you_mean(view, ['methods', *VIEWS])}")
    for path in results:
        read_openings(Ledger(path))  # a broken chain is an error in every table
    return VIEWS[view](read_confirmed(results), known_metric(metric or "macro_f1"), reference)


def class_tables(confirmed: Confirmed, metric: str = "macro_f1", reference: str | None = None) -> Document:
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


def label_tables(confirmed: Confirmed, metric: str = "macro_f1", reference: str | None = None) -> Document:
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


def ablation_table(confirmed: Confirmed, metric: str = "macro_f1", reference: str | None = None) -> Document:
    """Methods that several experiments ran with different settings, each against the reference experiment.

    Raises:
        UserError: no method was run differently by two experiments, or the reference ran none of them.
    """
    families: dict[tuple[str, int], list[Row]] = {}
    for row in confirmed.rows:
        if row.tag:
            families.setdefault((row.method, row.per_class), []).append(row)
    if not families:
        raise UserError(
            "--view ablation: needs two experiments that ran one method with different settings on one pair; name "
            "their results folders"
        )
    cells = confirmed.cells(metric)
    compared = [pair for family in families.values() for pair in _against(family, reference)]
    comparisons = _compare(compared, confirmed.pairs, cells)
    lines = [line for family in families.values() for line in _ablation_lines(family, reference, confirmed, cells)]
    header = ("method", "settings", *confirmed.pairs, AVERAGE)
    block = Block(metric, f"{TITLES[metric]} (%)", header, tuple(lines), 2)
    title = f"Reference minus the other, {TITLES[metric]}, percent points with 95 % t interval, Holm over all"
    return Document((block,), (Sentences("comparison", title, tuple(map(comparison_text, comparisons))),))


def changed_settings(confirmed: Confirmed, row: Row, base: Row) -> str:
    """The hyperparameters in which a row's records differ from another's, as `path: theirs -> ours`."""
    ours, theirs = (_records_of(confirmed, one) for one in (row, base))
    changes = []
    for path in HYPERPARAMETERS:
        here, there = (" or ".join(sorted(map(_spell, part[path].dropna().unique()))) for part in (ours, theirs))
        if here != there:
            changes.append(f"{path}: {there} → {here}")
    shown = changes[:_SHOWN_CHANGES]
    more = len(changes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _class_line(name: str, rows: Sequence[Row], pair: str, cells: Mapping[tuple[Row, str], Cell]) -> tuple[Text, ...]:
    marks = mark_cells(rows, [pair], cells)
    found = [(cells[row, pair], marks.get((row, pair), frozenset())) for row in rows]
    title = TITLES[name].removesuffix(" (for comparability only)") if name in TITLES else name.removeprefix("f1:")
    return (Text(title), *(Text(cell_text(cell), mark, cell.state) for cell, mark in found))


def _against(family: Sequence[Row], reference: str | None) -> list[tuple[Row, Row]]:
    base = _base(family, reference)
    return [(base, row) for row in family if row != base]


def _base(family: Sequence[Row], reference: str | None) -> Row:
    tags = [row.tag for row in family]
    if reference is not None and reference not in tags:
        raise UserError(f"--reference {reference}: is none of these experiments; {did_you_mean(reference, tags)}")
    return family[tags.index(reference)] if reference else family[0]


def _compare(
    compared: Sequence[tuple[Row, Row]], pairs: Sequence[str], cells: Mapping[tuple[Row, str], Cell]
) -> list[Comparison]:
    found = []
    for base, row in compared:
        sides = [[cells[one, pair].values for pair in pairs] for one in (base, row)]
        found += [(pair, base, row, compare_paired(a, b)) for pair, a, b in zip(pairs, *sides, strict=True)]
        if len(pairs) > 1:
            found.append((AVERAGE, base, row, compare_over_pairs(*sides)))
    adjusted = holm([test.p if test else 1.0 for *_, test in found])
    return [Comparison(*parts, p) for parts, p in zip(found, adjusted, strict=True)]


def _ablation_lines(
    family: Sequence[Row], reference: str | None, confirmed: Confirmed, cells: Mapping[tuple[Row, str], Cell]
) -> list[tuple[Text, ...]]:
    base = _base(family, reference)
    lines = []
    for row in [base, *(row for row in family if row != base)]:
        settings = "reference" if row == base else changed_settings(confirmed, row, base)
        found = [cells[row, column] for column in (*confirmed.pairs, AVERAGE)]
        lines.append((*words(row.name, settings), *(Text(cell_text(cell), state=cell.state) for cell in found)))
    return lines


def _records_of(confirmed: Confirmed, row: Row) -> pd.DataFrame:
    keys = confirmed.records[KEYS]
    return confirmed.records[(keys == list(row.key)).all(axis=1)]


def _spell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or str(value) in ("True", "False") else f"{value}"


VIEWS: Mapping[str, Callable[[Confirmed, str, str | None], Document]] = {
    "classes": class_tables,
    "labels": label_tables,
    "ablation": ablation_table,
}
