"""The one place that gives a pair's test labels; the sweep's driver (confirm) and `evaluate` alone open it."""

from __future__ import annotations

from pathlib import Path

from agsgtl.data.pairing import assemble
from agsgtl.data.pools import LabelImage
from agsgtl.errors import UserError


class LabelVault:
    """A pair's test pool, read from the pair's files at each call, so that no object carries test labels about.

    Args:
        pair_name: a catalog name or the path of a pair's YAML file, as for `load_pair`.
        root: a folder that is searched for the pair's files first.
    """

    def __init__(self, pair_name: str, root: Path | None = None) -> None:
        self._pair_name = pair_name
        self._root = root

    def test_labels(self, fingerprint: str | None = None) -> LabelImage:
        """The (height, width) uint8 image of the test pool, 0..K; proven disjoint from the development pool.

        Args:
            fingerprint: of the pair that was trained on, to be sure that these are its test labels.

        Raises:
            UserError: as `load_pair`, or the pair's files have changed: their fingerprint is another.
        """
        pair, pools = assemble(self._pair_name, self._root)
        if fingerprint is not None and fingerprint != pair.fingerprint:
            raise UserError(
                f"{pair.name}: its files have changed since it was trained on (fingerprint {fingerprint} then, "
                f"{pair.fingerprint} now); restore them or start anew in another results folder"
            )
        return pools.test
