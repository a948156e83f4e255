"""Which cells are best, second, and not to be told from the best: paired tests, adjusted together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd

from agsgtl.reporting.cells import AVERAGE, Cell, Comparison, Mark
from agsgtl.reporting.rows import Row
from agsgtl.reporting.statistics import PairedTest, compare_over_pairs, compare_paired, holm

ALPHA = 0.05

_WINNERS: tuple[Mark, Mark] = ("best", "second")


def compare_with_best(
    rows: Sequence[Row], columns: Sequence[str], cells: Mapping[tuple[Row, str], Cell], method: str | None = None
) -> tuple[Comparison, ...]:
    """Every column's best row at each k against every other that has numbers, Holm-adjusted.

    The best is chosen from the seeds that it is tested on, so any two rows of a column might have been compared: the
    adjustment is over all of them, of which those with the best are returned. With `method`, named beforehand, that method's
    rows stand in the place of the best, complete or not, are not compared with each other, and the adjustment is over what
    is returned. The average is compared over pairs; where there is one pair only, its column stands for the average.
    """
    pairs = [column for column in columns if column != AVERAGE]
    found: list[tuple[str, Row, Row, PairedTest | None]] = []
    shown: list[bool] = []
    for column in columns if len(pairs) > 1 else pairs:
        for rivals in same_count(rows):
            able = [row for row in rivals if cells[row, column].n]
            bases = [row for row in able if row.method == method] if method else _ranking(rivals, column, cells)[:1]
            for one, other in _family(able, bases, method):
                found.append((column, one, other, _test(one, other, column, pairs, cells)))
                shown.append(one in bases)
    return tuple(itertools.compress(adjust_together(found), shown))


def adjust_together(found: Sequence[tuple[str, Row, Row, PairedTest | None]]) -> list[Comparison]:
    """A family of comparisons (column, row, row, test), Holm-adjusted over all of them."""
    p_values = holm([test.p if test else 1.0 for *_, test in found])
    lowest = holm([test.smallest_p if test else 1.0 for *_, test in found])
    return [Comparison(*parts, p, least, len(found)) for parts, p, least in zip(found, p_values, lowest, strict=True)]


def mark_cells(
    rows: Sequence[Row],
    columns: Sequence[str],
    cells: Mapping[tuple[Row, str], Cell],
    comparisons: Sequence[Comparison] = (),
) -> dict[tuple[Row, str], frozenset[Mark]]:
    """The marks of each marked cell; best and second at each k among complete cells of methods, oracle rows aside."""
    marks: dict[tuple[Row, str], set[Mark]] = {}
    for column in columns:
        for rivals in same_count(rows):
            for row, mark in zip(_ranking(rivals, column, cells)[:2], _WINNERS, strict=False):
                marks.setdefault((row, column), set()).add(mark)
    single = len(columns) == 2
    for comparison in comparisons:
        if comparison.p_holm >= ALPHA:
            for column in (comparison.column, AVERAGE) if single else (comparison.column,):
                marks.setdefault((comparison.other, column), set()).add("dagger")
    return {key: frozenset(found) for key, found in marks.items()}


def same_count(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of methods, oracle rows aside, by their number of labelled pixels: only equals are compared."""
    counts = sorted({row.per_class for row in rows if not row.oracle})
    return [[row for row in rows if row.per_class == count and not row.oracle] for count in counts]


def complete_means(rivals: Sequence[Row], pairs: Sequence[str], cells: Mapping[tuple[Row, str], Cell]) -> pd.DataFrame:
    """The means of the rows that are complete on every pair, for ranks: a line a row by its name, a column a pair."""
    rows = [row for row in rivals if all(cells[row, pair].state == "complete" for pair in pairs)]
    values = [[cells[row, pair].mean for pair in pairs] for row in rows]
    return pd.DataFrame(values, index=[row.name for row in rows], columns=list(pairs))


def not_ranked(rivals: Sequence[Row], pairs: Sequence[str], cells: Mapping[tuple[Row, str], Cell]) -> list[str]:
    """The rows that have no rank, by name, each with the pairs where it is not complete."""
    gaps = {row: [pair for pair in pairs if cells[row, pair].state != "complete"] for row in rivals}
    return [f"{row.name} (not complete on {', '.join(lacking)})" for row, lacking in gaps.items() if lacking]


def _family(able: Sequence[Row], bases: Sequence[Row], method: str | None) -> list[tuple[Row, Row]]:
    """The pairs of rows that the adjustment is over, a base in front of its rivals; none where there is no base."""
    if method:
        return list(itertools.product(bases, [row for row in able if row.method != method]))
    return list(itertools.combinations([*bases, *(row for row in able if row not in bases)], 2)) if bases else []


def _ranking(rows: Sequence[Row], column: str, cells: Mapping[tuple[Row, str], Cell]) -> list[Row]:
    """The rows that can win a column, best mean first; none where there is no rival."""
    able = [row for row in rows if cells[row, column].state == "complete"]
    return sorted(able, key=lambda row: -(cells[row, column].mean or 0.0)) if len(able) > 1 else []


def _test(
    best: Row, other: Row, column: str, pairs: Sequence[str], cells: Mapping[tuple[Row, str], Cell]
) -> PairedTest | None:
    if column != AVERAGE:
        return compare_paired(cells[best, column].values, cells[other, column].values)
    return compare_over_pairs([cells[best, p].values for p in pairs], [cells[other, p].values for p in pairs])
