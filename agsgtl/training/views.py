"""How a training step sees its scenes: turned or mirrored, and pooled on a grid that begins elsewhere.

A convolution is not the same function of a scene and of its mirror image, nor a pooled network of a scene and of its
neighbour a pixel further on, while what grows on a pixel is the same. A few labelled pixels seen in 8 orientations and on
16 grids are learned less by heart (Cohen and Welling 2016, Group Equivariant Convolutional Networks, section 4.2; Zhang
2019, Making Convolutional Networks Shift-Invariant Again).
"""

from __future__ import annotations

import numpy as np

from agsgtl.config import Config
from agsgtl.models.reach import STRIDES
from agsgtl.models.view import AS_IT_LIES, Orientation, PoolingGrid, View


def drawn_view(config: Config, seed: int, epoch: int, step: int) -> View:
    """What a step sees with `adapt.orientation` and `adapt.pooling_grid`; a draw depends on seed, epoch and step alone."""
    generator = np.random.default_rng([seed, epoch, step])
    rows, columns, transposed = (bool(number < 0.5) for number in generator.random(3))
    flipped = tuple(axis for axis, backwards in ((2, rows), (3, columns)) if backwards)
    orientation = Orientation(flipped, transposed)
    grid = PoolingGrid(*generator.integers(STRIDES[config.model.family], size=2).tolist())
    return View(
        orientation if config.adapt.orientation == "random" else AS_IT_LIES.orientation,
        grid if config.adapt.pooling_grid == "random" else AS_IT_LIES.grid,
    )
