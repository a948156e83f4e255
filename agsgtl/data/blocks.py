"""A test and a development pool that are spatially disjoint: cut the scene, drop what lies too near the cut.

Cuts are straight lines and chequers of random blocks. Each is judged on a coarse grid of cells, and the one that leaves
the scarcest class the most pixels on both sides is carried out exactly, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Labels = NDArray[np.uint8]

_MOST_CELLS = 20_000
_LINES = 24
_CHEQUERS = 32
_ENOUGH = 30
"""Development pixels a class beyond which more do not make a cut better."""
_STREAM = 3


@dataclass(frozen=True, eq=False)
class Parted:
    """Two label images (height, width), 0..K; labelled pixels between them are in neither.

    `never_served` are the classes, 1..K, that no cut at all leaves with enough pixels on both sides.
    """

    development: Labels
    test: Labels
    never_served: tuple[int, ...] = ()


def separate(labels: Labels, classes: int, buffer: int, fraction: float, minimum: int, seed: int) -> Parted:
    """The best of many cuts; every test pixel is more than `buffer` rows or columns from every development pixel.

    The answer depends on the arguments alone. It may leave a class without pixels on a side: the caller judges.

    Args:
        labels: (height, width), 0..classes.
        classes: K.
        buffer: pixels, along rows or columns (Chebyshev distance, as square receptive fields have it).
        fraction: of each class that should be test.
        minimum: test pixels wanted of each class.
        seed: of the chequers.
    """
    cell = max(1, int(np.ceil(np.sqrt(labels.size / _MOST_CELLS))))
    counts = _count_cells(labels, classes, cell)
    best: tuple[tuple[float, ...], Mask, bool] | None = None
    ever_served = np.zeros(classes, bool)
    for side in _cuts(counts.shape[1:], max(1, -(-(buffer + 1) // cell)), seed):
        for drops_test in (True, False):
            tested, developed = _counts_apart(counts, side, drops_test, buffer // cell + 1 if cell > 1 else buffer)
            ever_served |= (tested >= minimum) & (developed > 0)
            score = _score(tested, developed, fraction, minimum)
            if best is None or score > best[0]:
                best = (score, side, drops_test)
    if best is None:
        return Parted(labels, np.zeros_like(labels))
    pixels = np.repeat(np.repeat(best[1], cell, axis=0), cell, axis=1)[: labels.shape[0], : labels.shape[1]]
    test, development = _apart(labels > 0, pixels, buffer, best[2])
    never_served = tuple(int(index) + 1 for index in np.flatnonzero(~ever_served))
    return Parted(
        np.where(development, labels, 0).astype(np.uint8), np.where(test, labels, 0).astype(np.uint8), never_served
    )


def distance_to(there: Mask) -> NDArray[np.int64]:
    """Each pixel's distance to the nearest True, along rows or columns; larger than the image where there is none."""
    if not there.any():
        return np.full(there.shape, sum(there.shape), np.int64)
    from scipy.ndimage import distance_transform_cdt  # a fifth of a second, for pairs with `blocks` alone

    return distance_transform_cdt(~there, metric="chessboard").astype(np.int64)


def _apart(labelled: Mask, side: Mask, buffer: int, drops_test: bool) -> tuple[Mask, Mask]:
    """Test and development pixels; those of one side that lie within the buffer of the other's are dropped."""
    test, development = labelled & side, labelled & ~side
    if drops_test:
        return test & (distance_to(development) > buffer), development
    return test, development & (distance_to(test) > buffer)


def _count_cells(labels: Labels, classes: int, cell: int) -> NDArray[np.int64]:
    """(classes, rows, columns): pixels of each class in each cell of `cell` by `cell` pixels."""
    rows, columns = np.nonzero(labels)
    shape = (classes + 1, -(-labels.shape[0] // cell), -(-labels.shape[1] // cell))
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (labels[rows, columns], rows // cell, columns // cell), 1)
    return counts[1:]


def _cuts(shape: tuple[int, ...], block: int, seed: int) -> Iterator[Mask]:
    """Masks of cells that would be test: both sides of straight lines, then chequers of blocks of one to three buffers."""
    for axis in (0, 1):
        for line in np.unique(np.linspace(1, shape[axis] - 1, _LINES).astype(int)):
            beyond = np.broadcast_to(np.expand_dims(np.arange(shape[axis]) >= line, 1 - axis), shape)
            yield beyond
            yield ~beyond
    generator = np.random.default_rng([seed, _STREAM])
    for number in range(_CHEQUERS):
        size = block * (1 + number % 3)
        chequer = generator.random((-(-shape[0] // size), -(-shape[1] // size))) < 0.5
        yield np.repeat(np.repeat(chequer, size, axis=0), size, axis=1)[: shape[0], : shape[1]]


def _counts_apart(
    counts: NDArray[np.int64], side: Mask, drops_test: bool, buffer: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of each class, (classes,), in the test and in the development pool of a cut of the cells."""
    labelled: Mask = np.any(counts > 0, axis=0)
    test, development = _apart(labelled, side, buffer, drops_test)
    return counts[:, test].sum(axis=1), counts[:, development].sum(axis=1)


def _score(tested: NDArray[np.int64], developed: NDArray[np.int64], fraction: float, minimum: int) -> tuple[float, ...]:
    """Higher is better: classes served, how well the scarcest is on both sides, nearness to the fraction, pixels kept."""
    is_served = (tested >= minimum) & (developed > 0)
    scarcest = np.minimum(tested / minimum, developed / _ENOUGH).clip(max=1.0).min()
    share = tested / np.maximum(tested + developed, 1)
    nearness = -float(np.abs(share - fraction).mean().round(3))
    return float(is_served.sum()), float(scarcest), nearness, float((tested + developed).sum())
