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
from typing import Any

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

    def values(self, progress: Sequence[Mapping[str, Any]]) -> dict[float, float]:
        """A trial's score at each rung that it reached, by the rung's fraction."""
        scores = {int(line["epoch"]): float(line["score"]) for line in progress}
        if not scores:
            return {}
        epochs = int(progress[0]["epochs"])
        return {f: scores[epoch] for f in self.fractions if (epoch := self.epoch(f, epochs)) in scores}

    def cutoffs(self, known: Sequence[Mapping[float, float]], epochs: int) -> dict[int, float]:
        """For a trial of that many epochs: the score to reach at each rung's epoch, from the known trials' values there.

        A rung with fewer values than `reduction` cuts nothing.

        >>> Rungs(grace=0.5, reduction=2).cutoffs([{0.5: 0.1}, {0.5: 0.2}, {0.5: 0.6}], epochs=40)
        {20: 0.2}
        """
        return self.cutoffs_of({f: [trial[f] for trial in known if f in trial] for f in self.fractions}, epochs)

    def cutoffs_of(self, values: Mapping[float, Sequence[float]], epochs: int) -> dict[int, float]:
        """The same from the known values at each rung, in any order."""
        return {
            self.epoch(fraction, epochs): float(np.quantile(known, 1 - 1 / self.reduction))
            for fraction in self.fractions
            if len(known := values.get(fraction, ())) >= self.reduction
        }

    @staticmethod
    def epoch(fraction: float, epochs: int) -> int:
        """The epoch, counted from 1, of a rung in a trial of that many epochs."""
        return max(1, math.ceil(fraction * epochs - 1e-9))
