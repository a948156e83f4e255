"""What a study needs of a trial that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agsgtl.reporting.record import Cost, Reason, Status


@dataclass(frozen=True)
class Outcome:
    """What the study needs of a finished trial; `lost` are epochs of rungs that it reached and has no report of."""

    number: int
    status: Status
    reason: Reason | None
    score: float | None
    per_class: int
    labels: int
    epochs: int
    rungs: Mapping[float, float]
    lost: tuple[int, ...]
    cost: Cost
