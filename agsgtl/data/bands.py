"""Source and target get the same bands: chosen, matched by wavelength, and padded or trimmed where the network asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.scene import row_blocks
from agsgtl.data.scratch import forget_pages, new_array
from agsgtl.errors import UserError

SPECTRAL_GROUPS = 21
"""The depthwise segmenter's first convolution has this many groups (Yaghmour et al. 2024, authors' code)."""

_ZEROS = -1


@dataclass(frozen=True, eq=False)
class BandPlan:
    """How each band that is used is made: `(1 - share) * cube[lower] + share * cube[upper]`; lower -1 is zeros.

    Attributes:
        lower, upper: (bands,) indices into the file's bands.
        share: (bands,) 0..1.
        wavelengths_nm: (bands,) centres of the bands that come out, or None.
    """

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    share: NDArray[np.float64]
    wavelengths_nm: NDArray[np.float64] | None

    @classmethod
    def of_indices(cls, indices: NDArray[np.int64], wavelengths_nm: NDArray[np.float64] | None) -> BandPlan:
        """The bands at these indices as they are."""
        centres = None if wavelengths_nm is None else wavelengths_nm[indices]
        return cls(indices, indices, np.zeros(len(indices)), centres)

    def keeps_all(self, bands: int) -> bool:
        """Whether a cube with this many bands stays as it is."""
        return np.array_equal(self.lower, np.arange(bands)) and not self.share.any()

    def apply(self, cube: NDArray[Any]) -> NDArray[Any]:
        """(height, width, bands) with the planned bands: in the file's dtype, or float32 where bands are interpolated."""
        if self.keeps_all(cube.shape[2]):
            return cube
        made = new_array((*cube.shape[:2], len(self.lower)), np.dtype(np.float32) if self.share.any() else cube.dtype)
        for rows in row_blocks(cube):
            block = cube[rows]
            below = np.where(self.lower == _ZEROS, 0, block[:, :, np.maximum(self.lower, 0)])
            made[rows] = (
                below + self.share * (block[:, :, self.upper] - below.astype(np.float64)) if self.share.any() else below
            )
            forget_pages(made)
        return made


def choose(
    ranges: Sequence[Sequence[int]] | None, wavelengths_nm: NDArray[np.float64] | None, bands: int, origin: str
) -> BandPlan:
    """The bands of these ranges (first and last, 0-based, both included) in their order; None is all.

    Raises:
        UserError: a range runs past the cube's last band, or from high to low.
    """
    if ranges is None:
        return BandPlan.of_indices(np.arange(bands), wavelengths_nm)
    for first, last in ranges:
        if first > last or last >= bands:
            raise UserError(
                f"{origin}: bands [{first}, {last}] (first and last, 0-based) must lie in the cube, which has {bands} bands"
            )
    indices = np.concatenate([np.arange(first, last + 1) for first, last in ranges])
    return BandPlan.of_indices(indices, wavelengths_nm)


def match(source: BandPlan, target: BandPlan, how: str, origin: str) -> tuple[BandPlan, BandPlan, str]:
    """Both sides' bands at the same wavelengths, and a sentence that says how.

    The sensor with fewer bands in the range that both cover gives the wavelengths; the other's bands are the nearest to
    them ('nearest') or a straight line between its two neighbours ('interpolate').

    Raises:
        UserError: a side has no wavelengths, or the two share no range.
    """
    for side, plan in (("source", source), ("target", target)):
        if plan.wavelengths_nm is None:
            raise UserError(
                f"{origin}: match_bands needs the {side}'s wavelengths; give `wavelengths` or `wavelengths_nm` there"
            )
    source_nm, target_nm = _centres(source), _centres(target)
    low, high = max(source_nm.min(), target_nm.min()), min(source_nm.max(), target_nm.max())
    inside = [np.flatnonzero((nm >= low) & (nm <= high)) for nm in (source_nm, target_nm)]
    if min(map(len, inside)) == 0:
        raise UserError(
            f"{origin}: the source's bands ({source_nm.min():g} to {source_nm.max():g} nm) and the target's ({target_nm.min():g} to "
            f"{target_nm.max():g} nm) share no range; correct the wavelengths (in nanometres)"
        )
    source_leads = len(inside[0]) <= len(inside[1])
    leader, follower = (source, target) if source_leads else (target, source)
    kept = inside[0 if source_leads else 1]
    led = BandPlan(leader.lower[kept], leader.upper[kept], leader.share[kept], _centres(leader)[kept])
    followed = (_nearest if how == "nearest" else _interpolated)(follower, _centres(led))
    apart = float(np.abs(_centres(followed) - _centres(led)).max())
    note = (
        f"bands matched by wavelength ({how}) at {len(kept)} centres of the {'source' if source_leads else 'target'} from {low:g} to "
        f"{high:g} nm, at most {apart:.3g} nm apart"
    )
    return (led, followed, note) if source_leads else (followed, led, note)


def fit_groups(plan: BandPlan, how: str) -> BandPlan:
    """A plan whose count is a multiple of 21: last bands left out ('trim'), or bands of zeros added at the end ('pad')."""
    count = len(plan.lower)
    if how == "trim":
        keep = slice(0, count // SPECTRAL_GROUPS * SPECTRAL_GROUPS)
        centres = None if plan.wavelengths_nm is None else plan.wavelengths_nm[keep]
        return BandPlan(plan.lower[keep], plan.upper[keep], plan.share[keep], centres)
    more = -count % SPECTRAL_GROUPS
    zeros, none = np.full(more, _ZEROS), np.zeros(more)
    return BandPlan(np.append(plan.lower, zeros), np.append(plan.upper, zeros * 0), np.append(plan.share, none), None)


def _centres(plan: BandPlan) -> NDArray[np.float64]:
    if plan.wavelengths_nm is None:
        raise ValueError("this plan has no wavelengths")
    return plan.wavelengths_nm


def _nearest(plan: BandPlan, centres: NDArray[np.float64]) -> BandPlan:
    indices = np.abs(_centres(plan)[None, :] - centres[:, None]).argmin(axis=1)
    return BandPlan(plan.lower[indices], plan.upper[indices], plan.share[indices], _centres(plan)[indices])


def _interpolated(plan: BandPlan, centres: NDArray[np.float64]) -> BandPlan:
    order = np.argsort(_centres(plan), kind="stable")
    sorted_nm = _centres(plan)[order]
    above = (
        np.clip(np.searchsorted(sorted_nm, centres), 1, max(1, len(order) - 1))
        if len(order) > 1
        else np.zeros(len(centres), int)
    )
    below = np.maximum(above - 1, 0)
    width = sorted_nm[above] - sorted_nm[below]
    share = np.divide(centres - sorted_nm[below], width, out=np.zeros(len(centres)), where=width > 0)
    return BandPlan(plan.lower[order][below], plan.lower[order][above], share, centres)
