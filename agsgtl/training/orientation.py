"""In which of the eight orientations of a square a training step sees its scenes: turns and mirror images.

A convolution is not the same function of a scene and of its mirror image, while what grows on a pixel is. A few labelled
pixels seen in eight orientations are learned less by heart (the group D4; Cohen and Welling 2016, Group Equivariant
Convolutional Networks, section 4.2).
"""

from __future__ import annotations

import numpy as np

from agsgtl.config import AdaptSettings
from agsgtl.models.orientation import AS_IT_LIES, Orientation


def drawn_orientation(settings: AdaptSettings, seed: int, epoch: int, step: int) -> Orientation:
    """What a step sees with `adapt.orientation`; a draw depends on seed, epoch and step alone."""
    if settings.orientation == "fixed":
        return AS_IT_LIES
    rows, columns, transposed = np.random.default_rng([seed, epoch, step]).random(3) < 0.5
    flipped = tuple(axis for axis, backwards in ((2, rows), (3, columns)) if backwards)
    return Orientation(flipped, bool(transposed))
