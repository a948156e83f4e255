"""The eight orientations of a square, turns and mirror images, in which a network can see its maps (the group D4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor


@dataclass(frozen=True)
class Orientation:
    """Which axes of a map (n, C, H, W) run backwards, and whether rows and columns change places after that.

    A convolution of a map in an orientation is that of the map as it lies, with the kernel laid back, in that orientation:
    `conv(seen.of(maps), kernel) == seen.of(conv(maps, seen.undone(kernel)))`.
    """

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


AS_IT_LIES: Final = Orientation()
"""The scene itself."""
