"""In which of the eight orientations of a square a training step sees its scenes: turns and mirror images.

A convolution is not the same function of a scene and of its mirror image, while what grows on a pixel is. A few labelled
pixels seen in eight orientations are learned less by heart (the group D4; Cohen and Welling 2016, Group Equivariant
Convolutional Networks, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agsgtl.config import AdaptSettings


@dataclass(frozen=True)
class Orientation:
    """Which axes of a map (n, C, H, W) run backwards, and whether rows and columns change places after that."""

    flipped: tuple[int, ...] = ()
    transposed: bool = False

    def of(self, maps: Tensor) -> Tensor:
        """The maps in this orientation: (n, C, H, W), or (n, C, W, H) where transposed; channels last in memory.

        >>> turned = Orientation(flipped=(2,), transposed=True)
        >>> turned.of(torch.tensor([[[[1, 2], [3, 4]]]])).tolist()
        [[[[3, 1], [4, 2]]]]
        """
        return self._packed(self._transpose(self._flip(maps)))

    def undone(self, maps: Tensor) -> Tensor:
        """Maps that were computed in this orientation, back as the scene lies."""
        return self._packed(self._flip(self._transpose(maps)))

    def _flip(self, maps: Tensor) -> Tensor:
        return maps.flip(self.flipped) if self.flipped else maps

    def _transpose(self, maps: Tensor) -> Tensor:
        return maps.transpose(2, 3) if self.transposed else maps

    def _packed(self, maps: Tensor) -> Tensor:
        return maps.contiguous(memory_format=torch.channels_last) if self.flipped or self.transposed else maps


def drawn_orientation(settings: AdaptSettings, seed: int, epoch: int, step: int) -> Orientation:
    """What a step sees with `adapt.orientation`; a draw depends on seed, epoch and step alone."""
    if settings.orientation == "fixed":
        return Orientation()
    rows, columns, transposed = np.random.default_rng([seed, epoch, step]).random(3) < 0.5
    flipped = tuple(axis for axis, backwards in ((2, rows), (3, columns)) if backwards)
    return Orientation(flipped, bool(transposed))
