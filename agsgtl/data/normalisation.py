"""Cubes become float32 in one of four ways, fitted on all pixels of the pair's crops and on no label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.pairing import DomainPair
from agsgtl.data.scene import row_blocks

NetworkInput = NDArray[np.float32]
"""(1, bands, height, width), C-contiguous: one scene is one batch."""


@dataclass(frozen=True, eq=False)
class BandScaling:
    """`(value - mean) / deviation`, band by band: two float64 arrays (bands,)."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def apply(self, cube: NDArray[Any]) -> NetworkInput:
        """Raw numbers (height, width, bands) as networks read them; a part of a cube gives that part of the whole."""
        height, width, bands = cube.shape
        out = np.empty((1, bands, height, width), np.float32)
        for rows, pixels in self.in_blocks(cube):
            out[0, :, rows, :] = pixels.transpose(2, 0, 1)
        return out

    def in_blocks(self, cube: NDArray[Any]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The same numbers as (rows, width, bands), from top to bottom; a mapped cube is never in memory whole."""
        for rows in row_blocks(cube):
            with np.errstate(over="ignore"):  # beyond float32 is the caller's error
                pixels = ((cube[rows] - self.mean) / self.deviation).astype(np.float32)
            yield rows, pixels


def fit_scaling(pair: DomainPair, kind: str) -> tuple[BandScaling, BandScaling]:
    """How the source and the target are scaled.

    Args:
        pair: the raw cubes, (height, width, bands).
        kind: 'per_domain': per-band z-score with each domain's own mean and standard deviation (ddof 0); 'source': with
            the source's for both; 'none': the raw numbers; 'authors': the raw numbers over `pair.authors_scale`. A band
            that is constant where it is fitted keeps a standard deviation of 1.

    Raises:
        ValueError: `kind` is none of these.
    """
    bands = pair.source_cube.shape[2]
    if kind == "per_domain":
        return BandScaling(*fit_bands(pair.source_cube)), BandScaling(*fit_bands(pair.target_cube))
    if kind == "source":
        return (BandScaling(*fit_bands(pair.source_cube)),) * 2
    if kind not in ("none", "authors"):
        raise ValueError(f"data.normalisation must be per_domain, source, none or authors, got '{kind}'")
    scales = pair.authors_scale if kind == "authors" else (1.0, 1.0)
    first, second = (BandScaling(np.zeros(bands), np.full(bands, scale)) for scale in scales)
    return first, second


def fit_bands(cube: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each band's mean and standard deviation (ddof 0) over all pixels, two float64 arrays (bands,).

    The deviation of a constant band is 1 and its mean exactly its value, so that it becomes zeros and not rounding noise.
    """
    bands = cube.shape[2]
    pixels = cube.shape[0] * cube.shape[1]
    total, squares = np.zeros(bands), np.zeros(bands)
    constant = np.ones(bands, bool)
    for rows in row_blocks(cube):
        total += cube[rows].sum(axis=(0, 1), dtype=np.float64)
        constant &= (cube[rows] == cube[0, 0]).all(axis=(0, 1))
    mean = total / pixels
    for rows in row_blocks(cube):
        squares += np.square(cube[rows] - mean).sum(axis=(0, 1))
    return np.where(constant, cube[0, 0], mean), np.where(constant, 1.0, np.sqrt(squares / pixels))
