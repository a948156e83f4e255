"""A cube's axes in the order (height, width, bands), found from its label image where that can be, asked for where not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.errors import UserError

ORDER = ("height", "width", "bands")
_AS_STORED = (0, 1, 2)
_TURNED = (1, 0, 2)
_CLEARLY = 0.1
"""Share of variance between classes by which a turned square scene must fit its labels better to be called turned."""
_BANDS_LOOKED_AT = 16


def arrange(cube: NDArray[Any], labels: NDArray[Any], axes: Sequence[str] | None, origin: str) -> NDArray[Any]:
    """The cube as (height, width, bands), a view; a cube that fits its labels in no order comes back as it is.

    Args:
        cube: three axes as in the file.
        labels: (height, width).
        axes: their order in the file, where the user says it.
        origin: the file, for errors.

    Raises:
        UserError: several orders fit the label image's shape, or a square scene fits its labels better when turned.
    """
    if cube.ndim != 3 or labels.ndim != 2:
        return cube
    if axes is not None:
        return cube.transpose([list(axes).index(axis) for axis in ORDER])
    fitting = [order for order in permutations(range(3)) if tuple(cube.shape[i] for i in order[:2]) == labels.shape]
    if set(fitting) == {_AS_STORED, _TURNED}:
        _require_upright(cube, labels, origin)
        return cube
    if len(fitting) > 1:
        raise UserError(
            f"{origin}: the cube's axes {cube.shape} fit the label image {labels.shape} in several orders; say theirs, like "
            "`axes: [height, width, bands]`"
        )
    return cube.transpose(fitting[0]) if fitting else cube


def _require_upright(cube: NDArray[Any], labels: NDArray[Any], origin: str) -> None:
    as_stored, turned = label_fit(cube, labels), label_fit(cube, labels.T)
    if turned > max(as_stored + _CLEARLY, 2 * as_stored):
        raise UserError(
            f"{origin}: height and width of this square scene seem to be swapped: its classes explain {as_stored:.0%} of the "
            f"spectra's variance as stored, {turned:.0%} when turned; say `axes: [width, height, bands]`, or "
            "`axes: [height, width, bands]` if it is right"
        )


def label_fit(cube: NDArray[Any], labels: NDArray[Any]) -> float:
    """Share of the labelled pixels' variance that lies between classes (eta squared), mean over some bands; 0 to 1."""
    pixels = np.flatnonzero(labels)
    if len(pixels) < 2:
        return 0.0
    step = -(-cube.shape[2] // _BANDS_LOOKED_AT)
    spectra = cube[:, :, ::step][np.unravel_index(pixels, labels.shape)].astype(np.float64)
    _, classes, counts = np.unique(labels.reshape(-1)[pixels], return_inverse=True, return_counts=True)
    spectra = spectra - spectra.mean(axis=0)
    sums = np.zeros((len(counts), spectra.shape[1]))
    np.add.at(sums, classes, spectra)
    total = np.square(spectra).sum(axis=0)
    between = (np.square(sums) / counts[:, None]).sum(axis=0)
    return float(np.mean(np.divide(between, total, out=np.zeros_like(total), where=total > 0)))
