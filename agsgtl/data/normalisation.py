"""Cubes become float32 in one of four ways, fitted on all pixels of the pair's crops and on no label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.pairing import DomainPair
from agsgtl.data.scene import row_blocks
from agsgtl.errors import UserError

NetworkInput = NDArray[np.float32]
"""(1, bands, height, width), C-contiguous: one scene is one batch."""


def normalise(pair: DomainPair, kind: str) -> tuple[NetworkInput, NetworkInput]:
    """The source and the target as networks read them, both float32 (1, bands, height, width).

    Args:
        pair: the raw cubes, (height, width, bands).
        kind: `data.normalisation`. 'per_domain': per-band z-score with each domain's own mean and standard deviation
            (ddof 0); 'source': with the source's for both; 'none': the raw numbers; 'authors': the raw numbers over
            `pair.authors_scale`. A band that is constant where it is fitted keeps a standard deviation of 1.

    Raises:
        UserError: a normalised value is beyond float32.
        ValueError: `kind` is none of these.
    """
    cubes = pair.source_cube, pair.target_cube
    bands = cubes[0].shape[2]
    if kind == "per_domain":
        statistics = [fit_bands(cube) for cube in cubes]
    elif kind == "source":
        statistics = [fit_bands(cubes[0])] * 2
    elif kind == "none":
        statistics = [(np.zeros(bands), np.ones(bands))] * 2
    elif kind == "authors":
        statistics = [(np.zeros(bands), np.full(bands, scale)) for scale in pair.authors_scale]
    else:
        raise ValueError(f"data.normalisation must be per_domain, source, none or authors, got '{kind}'")
    source, target = (_apply(cube, *fitted) for cube, fitted in zip(cubes, statistics, strict=True))
    for side, cube in (("source", source), ("target", target)):
        if not np.isfinite(cube).all():
            raise UserError(
                f"{pair.name}: the {side} has values beyond float32 after data.normalisation '{kind}'; rescale the cube"
            )
    return source, target


def fit_bands(cube: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each band's mean and standard deviation (ddof 0) over all pixels, two float64 arrays (bands,).

    The deviation of a constant band is 1 and its mean exactly its value, so that it becomes zeros and not rounding noise.
    """
    bands = cube.shape[2]
    pixels = cube.shape[0] * cube.shape[1]
    total, squares = np.zeros(bands), np.zeros(bands)
    for rows in row_blocks(cube):
        total += cube[rows].sum(axis=(0, 1), dtype=np.float64)
    mean = total / pixels
    for rows in row_blocks(cube):
        squares += np.square(cube[rows] - mean).sum(axis=(0, 1))
    constant = cube.min(axis=(0, 1)) == cube.max(axis=(0, 1))
    return np.where(constant, cube[0, 0], mean), np.where(constant, 1.0, np.sqrt(squares / pixels))


def _apply(cube: NDArray[Any], mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> NetworkInput:
    height, width, bands = cube.shape
    out = np.empty((1, bands, height, width), np.float32)
    with np.errstate(over="ignore"):  # beyond float32 is the caller's error
        for rows in row_blocks(cube):
            out[0, :, rows, :] = ((cube[rows] - mean) / deviation).transpose(2, 0, 1)
    return out
