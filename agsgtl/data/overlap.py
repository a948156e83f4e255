"""Two files that hold some of the same pixels, as overlapping crops of one scene do: equal spectra, all the same way apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.scene import row_blocks

_SEVERAL = 3
"""Different spectra that must lie the same way apart: one or two are chance, as dark or saturated pixels are."""


@dataclass(frozen=True)
class Overlap:
    """Labelled pixels that two scenes share, and how far apart they lie: the second scene's row and column less the first's."""

    pixels: int
    rows: int
    columns: int


def find_overlap(
    first: NDArray[Any], first_labels: NDArray[Any], second: NDArray[Any], second_labels: NDArray[Any]
) -> Overlap | None:
    """The pixels that are labelled in both of two cubes (height, width, bands) of the same bands, if these are crops of one scene.

    Most of what is labelled at both ends of a displacement must be equal there: two scenes in few bands or coarse numbers
    have many spectra in common, and some of them lie the same way apart by chance. A crop that was turned, mirrored or
    resampled is not known.
    """
    one, other = _hashed(first, first_labels), _hashed(second, second_labels)
    way = _commonest_way(one, other)
    if way is None:
        return None
    here, there = one[_window(one, other, way)], other[_window(other, one, (-way[0], -way[1]))]
    labelled = (here != 0) & (there != 0)
    equal = int(np.count_nonzero(labelled & (here == there)))
    return Overlap(equal, *way) if 2 * equal > np.count_nonzero(labelled) else None


def _hashed(cube: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """(height, width) hashes of the labelled pixels' spectra in float32, as a copy in another type rounds; 0 for the others.

    A spectrum that is the same in all bands is 0 too: a fill value, which two scenes may well share.
    """
    hashes = np.zeros(labels.shape, np.int64)
    for rows in row_blocks(cube):
        labelled = labels[rows] > 0
        with np.errstate(over="ignore"):
            spectra = cube[rows][labelled].astype(np.float32)
        varies = np.ptp(spectra, axis=1) > 0
        hashes[rows][labelled] = [hash(row.tobytes()) if own else 0 for row, own in zip(spectra, varies, strict=True)]
    return hashes


def _commonest_way(one: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[int, int] | None:
    """Rows and columns from a spectrum's first pixel in one image to its first in the other, where several agree."""
    (spectra, here), (candidates, there) = (np.unique(image, return_index=True) for image in (one, other))
    common, mine, theirs = np.intersect1d(spectra, candidates, assume_unique=True, return_indices=True)
    mine, theirs = mine[common != 0], theirs[common != 0]
    if len(mine) < _SEVERAL:
        return None
    places = (np.stack(np.unravel_index(at, image.shape)) for at, image in ((there[theirs], other), (here[mine], one)))
    ways, counts = np.unique(np.subtract(*places), axis=1, return_counts=True)
    rows, columns = ways[:, counts.argmax()].tolist()
    return (rows, columns) if counts.max() >= _SEVERAL else None


def _window(one: NDArray[Any], other: NDArray[Any], way: tuple[int, int]) -> tuple[slice, ...]:
    """The part of an image that lies in the other one, once it is moved there."""
    sizes = zip(one.shape, other.shape, way, strict=True)
    return tuple(slice(max(0, -far), max(0, min(own, its - far))) for own, its, far in sizes)
