"""What a table is made of: cells with the seeds behind them, marks, comparisons and a note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from agsgtl.reporting.rows import Row
from agsgtl.reporting.statistics import PairedTest

AVERAGE = "average"
"""The column that averages over pairs."""

TITLES: Mapping[str, str] = {
    "macro_f1": "Macro F1",
    "balanced_accuracy": "Balanced accuracy",
    "mean_iou": "Mean IoU",
    "overall_accuracy": "Overall accuracy",
    "kappa": "Kappa (for comparability only)",
}

State = Literal["complete", "incomplete", "failed", "missing", "absent"]
Mark = Literal["best", "second", "dagger"]


@dataclass(frozen=True)
class Cell:
    """One number: mean and sd (ddof 1) over `n` of `planned` seeds, as fractions.

    `values` holds the per-seed values by seed; `failures` counts the reasons of the seeds that failed.
    """

    values: Mapping[int, float]
    planned: int
    failures: Mapping[str, int]
    recorded: int

    @property
    def n(self) -> int:
        """The number of seeds with test scores."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """The mean over seeds."""
        return float(np.mean(list(self.values.values()))) if self.values else None

    @property
    def sd(self) -> float | None:
        """The standard deviation over seeds, ddof 1; None below two seeds."""
        return float(np.std(list(self.values.values()), ddof=1)) if self.n > 1 else None

    @property
    def state(self) -> State:
        """How far the cell got: absent was never planned, missing did not run, failed has no seed that did not fail."""
        if self.n and self.n == self.planned:
            return "complete"
        if self.n:
            return "incomplete"
        if self.failures:
            return "failed"
        if self.planned == 0:
            return "absent"
        return "incomplete" if self.recorded else "missing"


@dataclass(frozen=True)
class Comparison:
    """The best row of a column against another; `test` is None where they share no seed, `p_holm` is then 1.

    `p_holm` is adjusted over `family` comparisons; `lowest_holm` is the lowest that it could be with these numbers of seeds.
    """

    column: str
    best: Row
    other: Row
    test: PairedTest | None
    p_holm: float
    lowest_holm: float
    family: int


@dataclass(frozen=True)
class Table:
    """Cells by (metric, row, column); a column is a pair or `average`.

    `comparisons` are those of the first metric; a dagger marks what cannot be told from the best there.
    """

    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, Row, str], Cell]
    comparisons: tuple[Comparison, ...] = ()
    marks: Mapping[tuple[str, Row, str], frozenset[Mark]] = field(default_factory=dict)
    note: tuple[str, ...] = ()

    def of(self, metric: str) -> dict[tuple[Row, str], Cell]:
        """The cells of one metric by (row, column)."""
        return {(row, column): self.cells[metric, row, column] for row in self.rows for column in self.columns}


def average_cell(cells: Sequence[Cell]) -> Cell:
    """The average over pairs of per-seed values, over the seeds that every pair has; nothing where there is none."""
    seeds = sorted(set.intersection(*(set(cell.values) for cell in cells)))
    if not seeds:
        return Cell({}, 0, {}, 0)
    values = {seed: float(np.mean([cell.values[seed] for cell in cells])) for seed in seeds}
    return Cell(values, max(cell.planned for cell in cells), {}, len(values))


def p_text(p: float) -> str:
    """A p-value with four decimals at most, small ones with one digit.

    >>> p_text(0.0625), p_text(0.25), p_text(1.0), p_text(0.00002)
    ('.0625', '.25', '1', '2e-05')
    """
    if p >= 0.99995:
        return "1"
    return f"{p:.4f}".strip("0") if p >= 0.0001 else f"{p:.0e}"
