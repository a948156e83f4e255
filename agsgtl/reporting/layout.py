"""Tables as texts in blocks, ready for any format; the only place where fractions become percent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agsgtl.reporting.cells import AVERAGE, TITLES, Cell, Comparison, Mark, State, Table, p_text
from agsgtl.reporting.rows import Row
from agsgtl.reporting.statistics import Interval, bca_interval, t_interval

_NO_AVERAGES = "no two methods have an average over all pairs; the view `comparisons` holds those of each pair"


@dataclass(frozen=True)
class Text:
    """What stands in one place, and how it is set off."""

    text: str
    marks: frozenset[Mark] = frozenset()
    state: State = "complete"


@dataclass(frozen=True)
class Block:
    """One table: `key` names it in CSV; the first `labels` columns hold words, the others numbers."""

    key: str
    title: str
    header: tuple[str, ...]
    lines: tuple[tuple[Text, ...], ...]
    labels: int = 1


@dataclass(frozen=True)
class Sentences:
    """A list below the tables, like the note."""

    key: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """What `export.render` writes."""

    blocks: tuple[Block, ...]
    lists: tuple[Sentences, ...] = ()


def lay_out(table: Table, intervals: bool = False) -> Document:
    """The blocks of a table, one a metric, with comparisons and note.

    `intervals` adds each cell's 95 % interval; oracle rows, which were picked by their score on a few seeds, get none.
    """
    header = ("method", "tuned", *table.columns)
    blocks = [
        Block(
            metric,
            f"{TITLES[metric]} (%)",
            header,
            tuple(_line(table, metric, row, intervals) for row in table.rows),
            2,
        )
        for metric in table.metrics
    ]
    lists = [Sentences("note", "", table.note)]
    if table.comparisons:
        title = f"Against the best, {TITLES[table.metrics[0]]}, percent points with 95 % t interval"
        lists.insert(
            0, Sentences("comparison", title, tuple(map(comparison_text, _headline(table))) or (_NO_AVERAGES,))
        )
    return Document(tuple(blocks), tuple(lists))


def percent(fraction: float) -> str:
    """Percent with one decimal, and no minus before a zero.

    >>> percent(0.7125), percent(-0.0001)
    ('71.2', '0.0')
    """
    text = f"{100 * fraction:.1f}"
    return "0.0" if text == "-0.0" else text


def cell_text(cell: Cell, intervals: bool = False) -> str:
    """What stands in a cell: a mean ± sd, and in words what is not there."""
    failed = ", ".join(f"{count} {reason}" for reason, count in sorted(cell.failures.items()))
    if cell.state == "absent":
        return "–"
    if cell.state == "missing":
        return "not run"
    if cell.state == "failed":
        alone = cell.planned == 1 and len(cell.failures) == 1
        return "failed: " + (next(iter(cell.failures)) if alone else f"{failed} of {cell.planned}")
    number = _number(cell, intervals)
    if cell.state == "complete":
        return number
    return f"{number} ({cell.n} of {cell.planned}" + (f"; failed: {failed})" if failed else ")")


def interval_text(interval: Interval | None) -> str:
    """An interval in percent, in brackets; empty where there is none."""
    return "" if interval is None else f"[{percent(interval[0])}, {percent(interval[1])}]"


def comparison_text(comparison: Comparison) -> str:
    """One comparison in a sentence: difference in percent points, interval, effect size, p-values and n."""
    names = f"{comparison.column}: {comparison.best.name} − {comparison.other.name}"
    test = comparison.test
    if test is None:
        return f"{names}: no seed in common"
    effect = test.effect
    parts = [
        f"{names} = {percent(test.difference)} {interval_text(test.interval)}".rstrip(),
        f"g = {effect[0]:.2f} [{effect[1][0]:.2f}, {effect[1][1]:.2f}]" if effect else "",
        f"p = {p_text(test.p)}",
        f"Holm p = {p_text(comparison.p_holm)}",
        f"n = {test.n}",
    ]
    return ", ".join(part for part in parts if part)


def tuned_text(row: Row) -> str:
    """What the column `tuned` says: with how many trials per study, or nothing."""
    if row.oracle:
        return "oracle"
    low_high = sorted({row.tuned_trials[0], row.tuned_trials[-1]}) if row.tuned_trials else []
    return f"{'–'.join(map(str, low_high))} trials" if low_high else ""


def words(*texts: str) -> tuple[Text, ...]:
    """Plain texts."""
    return tuple(Text(text) for text in texts)


def _line(table: Table, metric: str, row: Row, intervals: bool) -> tuple[Text, ...]:
    found = [(table.cells[metric, row, c], table.marks.get((metric, row, c), frozenset())) for c in table.columns]
    return (
        *words(row.name, tuned_text(row)),
        *(Text(cell_text(cell, intervals and not row.oracle), marks, cell.state) for cell, marks in found),
    )


def _number(cell: Cell, intervals: bool) -> str:
    if cell.mean is None:
        return "no scores"
    text = percent(cell.mean) + ("" if cell.sd is None else f" ± {percent(cell.sd)}")
    if not intervals:
        return text
    values = list(cell.values.values())
    bca = bca_interval(values)
    return f"{text} {interval_text(t_interval(values))}".rstrip() + (f" BCa {interval_text(bca)}" if bca else "")


def _headline(table: Table) -> Sequence[Comparison]:
    """The comparisons that are printed one by one: those of the average, or of the only pair."""
    column = AVERAGE if len(table.columns) > 2 else table.columns[0]
    return [comparison for comparison in table.comparisons if comparison.column == column]
