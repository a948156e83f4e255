"""A scene in false colours, the same in every picture: near infrared, red and green, so that vegetation is red."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FALSE_COLOUR_NM = (860.0, 650.0, 550.0)
"""Band centres that are shown as red, green and blue."""
_FULL_RANGE_BANDS = 150


def false_colours(cube: NDArray[Any], wavelengths_nm: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """(height, width, 3) in 0..1: three bands, each stretched between its percentiles 2 and 98.

    Args:
        cube: (height, width, bands) raw numbers, possibly a memory map.
        wavelengths_nm: (bands,) band centres, which tell the bands; without them they are guessed by position.
    """
    chosen = np.asarray(cube[:, :, _shown_bands(cube.shape[2], wavelengths_nm)], dtype=np.float64)
    low, high = np.percentile(chosen, [2, 98], axis=(0, 1))
    stretched: NDArray[np.float64] = np.clip((chosen - low) / np.maximum(high - low, 1e-12), 0, 1)
    return stretched


def _shown_bands(bands: int, wavelengths_nm: NDArray[np.float64] | None) -> list[int]:
    """The bands nearest to `FALSE_COLOUR_NM`; by position where no centres tell three different ones.

    By position, sensors with 150 bands or more are taken to reach 2500 nm (AVIRIS, Hyperion), others 1000 nm.
    """
    if wavelengths_nm is not None:
        nearest = [int(np.abs(wavelengths_nm - centre).argmin()) for centre in FALSE_COLOUR_NM]
        if len(set(nearest)) == len(FALSE_COLOUR_NM):
            return nearest
    positions = (0.20, 0.13, 0.08) if bands >= _FULL_RANGE_BANDS else (0.75, 0.45, 0.25)
    return [int(position * bands) for position in positions]
