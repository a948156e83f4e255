"""What can be wrong with one scene's arrays, each finding with its remedy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.scene import row_blocks

SATURATED_SHARE = 0.005
"""Part of a band's pixels that hold the cube's highest value before the sensor is called saturated."""
SCALE_RATIO = 20.0
"""Ratio of two cubes' mean magnitudes from which their units are called different."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong ('error': the pair cannot be used) or may be ('warning'), in one line with the remedy."""

    level: Literal["error", "warning"]
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"


@dataclass(frozen=True, eq=False)
class BandStatistics:
    """Of each band, (bands,): lowest and highest finite value, and how many values are not finite, negative, at the top."""

    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    not_finite: NDArray[np.int64]
    negative: NDArray[np.int64]
    at_top: NDArray[np.int64]
    magnitude: float
    pixels: int


def band_statistics(cube: NDArray[Any], used: NDArray[np.integer] | None = None) -> BandStatistics:
    """One pass for the range, one for the counts, over the used bands (all where None) of a cube (height, width, bands)."""
    indices: Any = slice(None) if used is None else used
    bands = cube.shape[2] if used is None else len(used)
    lowest, highest = np.full(bands, np.inf), np.full(bands, -np.inf)
    not_finite, negative, at_top, total = np.zeros(bands, int), np.zeros(bands, int), np.zeros(bands, int), 0.0
    for rows in row_blocks(cube):
        block = cube[rows][:, :, indices].reshape(-1, bands)
        finite = np.isfinite(block)
        lowest = np.minimum(lowest, np.where(finite, block, np.inf).min(axis=0))
        highest = np.maximum(highest, np.where(finite, block, -np.inf).max(axis=0))
        not_finite += (~finite).sum(axis=0)
        negative += (finite & (block < 0)).sum(axis=0)
        total += float(np.abs(np.where(finite, block, 0), dtype=np.float64).sum())
    for rows in row_blocks(cube):
        at_top += (cube[rows][:, :, indices] == highest.max()).sum(axis=(0, 1))
    pixels = cube.shape[0] * cube.shape[1]
    return BandStatistics(lowest, highest, not_finite, negative, at_top, total / (pixels * bands), pixels)


def examine_axes(name: str, in_file: tuple[int, ...], shape: tuple[int, ...]) -> Iterator[Finding]:
    """Axes that were put right by the label image's shape."""
    if in_file != shape:
        yield Finding(
            "warning",
            f"{name}: the cube's axes are transposed in its file, {in_file}; they are read as (height, width, bands) {shape}, as the "
            "label image's shape tells; say `axes` to be sure",
        )


def examine_cube(name: str, statistics: BandStatistics) -> Iterator[Finding]:
    """Constant and NaN bands, negative values, saturated pixels."""
    some_nan = np.flatnonzero(statistics.not_finite)
    if len(some_nan):
        yield Finding(
            "error",
            f"{name}: bands {_ranges(some_nan)} have NaN or infinite values ({int(statistics.not_finite.sum())} in all); leave these "
            "bands out with `bands`, or fill them",
        )
    constant = np.flatnonzero((statistics.lowest == statistics.highest) & (statistics.not_finite < statistics.pixels))
    if len(constant):
        yield Finding("warning", f"{name}: bands {_ranges(constant)} are constant; leave them out with `bands`")
    negative = int(statistics.negative.sum())
    if negative:
        yield Finding(
            "warning",
            f"{name}: {negative} values are negative ({negative / (statistics.pixels * len(statistics.negative)):.2%}), in bands "
            f"{_ranges(np.flatnonzero(statistics.negative))}; reflectance cannot be: check the correction, or leave these bands out",
        )
    saturated = np.flatnonzero(statistics.at_top > max(1, SATURATED_SHARE * statistics.pixels))  # one is the highest
    saturated = np.setdiff1d(saturated, constant)
    if len(saturated):
        yield Finding(
            "warning",
            f"{name}: bands {_ranges(saturated)} hold the highest value {statistics.highest.max():g} in up to "
            f"{statistics.at_top[saturated].max() / statistics.pixels:.1%} of the pixels: saturated or a fill value; mask or "
            "leave these bands out",
        )


def examine_wavelengths(name: str, wavelengths_nm: NDArray[np.float64] | None) -> Iterator[Finding]:
    """Band centres that do not increase, or are no nanometres."""
    if wavelengths_nm is None:
        return
    if not np.isfinite(wavelengths_nm).all() or wavelengths_nm.max() < 100:
        yield Finding(
            "warning",
            f"{name}: wavelengths from {wavelengths_nm.min():g} to {wavelengths_nm.max():g} are no nanometres; multiply micrometres "
            "by 1000",
        )
    falling = np.flatnonzero(np.diff(wavelengths_nm) <= 0) + 1
    if len(falling):
        yield Finding(
            "warning",
            f"{name}: wavelengths do not increase at bands {_ranges(falling)}: overlapping spectrometers or bands in another order; "
            "compare with the sensor's list, or sort the bands with `bands`",
        )


def examine_ids(name: str, labels: NDArray[Any], named: Collection[int]) -> Iterator[Finding]:
    """Label ids that no class names."""
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    unnamed = ~np.isin(ids, list(named))
    if unnamed.any():
        yield Finding(
            "warning",
            f"{name}: label ids {', '.join(map(str, ids[unnamed]))} have no name, and their {int(counts[unnamed].sum())} pixels count "
            "as unlabelled; list them under `classes` if both scenes have them",
        )


def examine_both(
    name: str,
    magnitudes: tuple[float, float],
    source_ids: Collection[int],
    target_ids: Collection[int],
    same_numbering: bool,
) -> Iterator[Finding]:
    """Scenes in different units, and ids that only one of them has."""
    low, high = sorted(magnitudes)
    if high > SCALE_RATIO * max(low, 1e-12):
        yield Finding(
            "warning",
            f"{name}: the scenes are in different units: values are about {magnitudes[0]:.3g} in the source and {magnitudes[1]:.3g} "
            "in the target; rescale one, or keep data.normalisation per_domain",
        )
    if not same_numbering:
        return
    for side, only in (("source", set(source_ids) - set(target_ids)), ("target", set(target_ids) - set(source_ids))):
        if only:
            yield Finding(
                "warning",
                f"{name}: label ids {', '.join(map(str, sorted(only)))} are in the {side} only; no method can transfer them: "
                "leave them out of `classes`, or correct the ids",
            )


def _ranges(indices: NDArray[np.integer]) -> str:
    """Indices in short, like '3-5, 9'; at most eight runs.

    >>> _ranges(np.array([3, 4, 5, 9]))
    '3-5, 9'
    """
    runs = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
    words = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs[:8]]
    return ", ".join(words) + (", ..." if len(runs) > 8 else "")
