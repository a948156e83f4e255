"""ASHA's rungs of one study: below which score a trial stops at which epoch.

Asynchronous successive halving (Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning): at a rung, only
the best 1/reduction go on. Here a trial's cutoffs are fixed when it is asked, from the trials that are known then, and
written into its ask. So a pruned trial is a replay of its ask like any other, whatever was killed in between. Rungs are
fractions of a trial's own epochs, because epochs may be sampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rungs:
    """The first rung stands at `grace` of a trial's epochs, past the GAN's warm-up; each next `reduction` times later."""

    grace: float
    reduction: int

    @property
    def fractions(self) -> tuple[float, ...]:
        """Where the rungs stand, as fractions of a trial's epochs.

        >>> Rungs(grace=0.3, reduction=3).fractions
        (0.3, 0.9)
        """
        count = math.ceil(math.log(1 / self.grace, self.reduction) - 1e-9)
        return tuple(round(self.grace * self.reduction**i, 6) for i in range(count))

    def epochs(self, epochs: int) -> dict[float, int]:
        """The epochs of the rungs, by their fractions, in a trial of that many epochs.

        >>> Rungs(grace=0.3, reduction=3).epochs(40)
        {0.3: 12, 0.9: 36}
        """
        return {fraction: self.epoch(fraction, epochs) for fraction in self.fractions}

    def values(self, scores: Mapping[int, float], epochs: int) -> dict[float, float]:
        """A trial's score at each rung that it reached, by the rung's fraction; `scores` are by epoch."""
        return {fraction: scores[epoch] for fraction, epoch in self.epochs(epochs).items() if epoch in scores}

    def cutoffs_of(self, values: Mapping[float, Sequence[float]], epochs: int) -> dict[int, float]:
        """For a trial of that many epochs: the score to reach at each rung's epoch, from the known trials' values there, in any order.

        A rung with fewer values than `reduction` cuts nothing, nor does one that rounding up puts on the last epoch: a trial that
        trained to its end is complete, however it scored.

        >>> Rungs(grace=0.5, reduction=2).cutoffs_of({0.5: [0.1, 0.2, 0.6]}, epochs=40)
        {20: 0.2}
        """
        return {
            epoch: float(np.quantile(known, 1 - 1 / self.reduction))
            for fraction, epoch in self.epochs(epochs).items()
            if epoch < epochs and len(known := values.get(fraction, ())) >= self.reduction
        }

    @staticmethod
    def epoch(fraction: float, epochs: int) -> int:
        """The epoch, counted from 1, of a rung in a trial of that many epochs."""
        return max(1, math.ceil(fraction * epochs - 1e-9))
