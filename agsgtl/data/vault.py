"""The one place that gives a pair's test labels: to the driver that scores (`confirm`, `evaluate`, `import-weights`; each look
is logged), and to what draws or counts them for a person (`data check`, `figures`). No trial and no selection gets them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agsgtl.data.labels import draw_labels
from agsgtl.data.pairing import DomainPair, assemble
from agsgtl.data.pools import LabelImage
from agsgtl.errors import UserError


@dataclass(frozen=True)
class DrawnBy:
    """What a run drew its labels by: k, v and the label seed; `split: authors` tests on what that leaves."""

    per_class: int
    validation_per_class: int
    seed: int


class LabelVault:
    """A pair's test pool, read from the pair's files at each call, so that no object carries test labels about.

    Args:
        pair_name: a catalog name or the path of a pair's YAML file, as for `load_pair`.
        root: a folder that is searched for the pair's files first.
    """

    def __init__(self, pair_name: str, root: Path | None = None) -> None:
        self._pair_name = pair_name
        self._root = root

    def test_labels(self, fingerprint: str | None = None, drawn: DrawnBy | None = None) -> LabelImage:
        """The (height, width) uint8 image of the test pool, 0..K; proven disjoint from what may train.

        Args:
            fingerprint: of the pair that was trained on, to be sure that these are its test labels.
            drawn: how the run that is scored drew its labels; needed with `split: authors`, whose test pool is the rest.

        Raises:
            UserError: as `load_pair`, or the pair's files have changed: their fingerprint is another; or `drawn` is missing.
        """
        pair, pools = assemble(self._pair_name, self._root)
        if fingerprint is not None and fingerprint != pair.fingerprint:
            raise UserError(
                f"{pair.name}: its files have changed since it was trained on (fingerprint {fingerprint} then, "
                f"{pair.fingerprint} now); restore them or start anew in another results folder"
            )
        if not pair.tests_on_the_rest:
            return pools.test
        if drawn is None:
            raise UserError(
                f"{pair.name}: with `split: authors` the test pool depends on a run's draw; only confirmations have one"
            )
        draw = draw_labels(pair, drawn.per_class, drawn.validation_per_class, drawn.seed)
        taken = (draw.target_train > 0) | (draw.target_validation > 0)
        return np.where(taken, 0, pair.development_labels).astype(np.uint8)

    def require_unseen(self, test: LabelImage, trained_on: DomainPair) -> None:
        """Refuses a test pool with pixels that could be drawn to train on: the pools were drawn otherwise by then.

        The fingerprint holds the rule and the seed of the draw, but another version of NumPy may draw others by them.

        Args:
            test: what `test_labels` gave.
            trained_on: the pair as the trials had it.

        Raises:
            UserError: a pixel is in both.
        """
        seen = int(np.count_nonzero((test > 0) & (trained_on.development_labels > 0)))
        if seen and not trained_on.tests_on_the_rest:
            raise UserError(
                f"{trained_on.name}: {seen} of {np.count_nonzero(test)} test pixels were in the development pool of what is scored: the "
                "pools are drawn otherwise now; score with the versions of agsgtl and NumPy that trained, or start anew in another "
                "results folder"
            )

    def inspect(self) -> tuple[DomainPair, LabelImage]:
        """The pair and its test pool side by side, for the doctor, who counts pixels and trains nothing."""
        pair, pools = assemble(self._pair_name, self._root)
        return pair, pools.test
