"""One cell of a table: the seeds behind a number, and in which way it may not be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

State = Literal["complete", "incomplete", "failed", "missing", "absent"]


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


def average_cell(cells: Sequence[Cell]) -> Cell:
    """The average over pairs of per-seed values, over the seeds that every pair has; nothing where a pair has none."""
    if not all(cell.n for cell in cells):
        return Cell({}, 0, {}, 0)
    seeds = sorted(set.intersection(*(set(cell.values) for cell in cells)))
    values = {seed: float(np.mean([cell.values[seed] for cell in cells])) for seed in seeds}
    return Cell(values, max(cell.planned for cell in cells), {}, len(values))
