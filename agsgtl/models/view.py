"""How a network sees its maps: in which of the eight orientations of a square (the group D4), and on which grid it pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional


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


@dataclass(frozen=True)
class PoolingGrid:
    """Where the 2 x 2 cells of a network's poolings begin: so many rows and columns ahead of the maps' first ones.

    A pooled network is not the same function of a scene and of its neighbour a pixel further on, but only of one a whole
    cell of its last pooling further on (Zhang 2019, Making Convolutional Networks Shift-Invariant Again, section 3.1).

    From two rows or columns ahead on, whole cells of the first pooling are empty. The convolutions behind it take them for zeros, as
    they take what lies around a scene, but their batch norms count them, and the next pooling can choose what has become
    of them: up to 3 % of a shallow network's cells at 145 pixels, 17 % of a depthwise one's.
    """

    rows: int = 0
    columns: int = 0

    def of(self, maps: Tensor) -> Tensor:
        """Maps (n, C, H, W), none of them negative, with empty rows and columns ahead: zeros, which no maximum over a pixel takes.

        >>> PoolingGrid(1, 0).of(torch.tensor([[[[3.0, 4.0]]]])).tolist()
        [[[[0.0, 0.0], [3.0, 4.0]]]]
        """
        return functional.pad(maps, (self.columns, 0, self.rows, 0)) if self.rows or self.columns else maps

    def undone(self, maps: Tensor) -> Tensor:
        """The maps without what was ahead."""
        return maps[..., self.rows :, self.columns :]


@dataclass(frozen=True)
class View:
    """An orientation, and the pooling grid in it."""

    orientation: Orientation = Orientation()
    grid: PoolingGrid = PoolingGrid()


AS_IT_LIES: Final = View()
"""The scene itself, pooled from its first row and column on."""
