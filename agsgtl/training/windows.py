"""Windows: equal rectangles of a scene around the pixels that carry a loss, stacked as one batch.

A window begins on the grid of the networks' poolings and ends as the scene does, so that in eval mode a network gives
the same at its pixels as on the whole scene. Windows are as large as makes their sum the smallest: close pixels share
one, and where that is cheapest the only window is the scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]

GROWTH: Final = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, np.inf)
"""Sizes that are tried, in smallest windows; the last is the scene."""


@dataclass(frozen=True)
class Windows:
    """Equal windows of a scene; a pixel belongs to the first that holds it and all within `reach` of it in the scene.

    `tops` and `lefts` (n,) are their first rows and columns, `size` and `scene` are heights and widths in pixels.
    """

    tops: Indices
    lefts: Indices
    size: tuple[int, int]
    scene: tuple[int, int]
    reach: int

    @property
    def area(self) -> int:
        """Pixels of all windows together."""
        return len(self.tops) * self.size[0] * self.size[1]

    def cut(self, maps: Tensor) -> Tensor:
        """The windows (n, C, h, w) of maps (1, C, H, W), channels last in memory."""
        if self.size == self.scene:
            return maps
        height, width = self.size
        corners = zip(self.tops.tolist(), self.lefts.tolist(), strict=True)
        cuts = [maps[:, :, top : top + height, left : left + width] for top, left in corners]
        return torch.cat(cuts).contiguous(memory_format=torch.channels_last)

    def place(self, pixels: Tensor) -> Tensor:
        """The same pixels (m,), row-major indices of the scene, as row-major indices of the stacked windows.

        Raises:
            ValueError: no window holds all within reach of a pixel.
        """
        if self.size == self.scene:
            return pixels
        rows, columns = _rows_and_columns(pixels, self.scene[1])
        holds = self._holds(rows, self.tops, axis=0) & self._holds(columns, self.lefts, axis=1)
        if not holds.any(axis=1).all():
            raise ValueError("a pixel lies in no window")
        chosen = holds.argmax(axis=1)
        height, width = self.size
        placed = (chosen * height + rows - self.tops[chosen]) * width + columns - self.lefts[chosen]
        return torch.from_numpy(placed).to(pixels.device)

    def pixels(self) -> Tensor:
        """All pixels that `place` can place, in the scene's order."""
        held = np.zeros(self.scene, dtype=bool)
        for top, left in zip(self.tops.tolist(), self.lefts.tolist(), strict=True):
            held[self._inner(top, axis=0), self._inner(left, axis=1)] = True
        return torch.from_numpy(np.flatnonzero(held))

    def _holds(self, places: Indices, starts: Indices, axis: int) -> NDArray[np.bool_]:
        """Whether (places, windows) all within reach of a place lies in a window, along one axis."""
        first, last = _seen(places, self.reach, self.scene[axis])
        return (starts[None] <= first[:, None]) & (last[:, None] < starts[None] + self.size[axis])

    def _inner(self, start: int, axis: int) -> slice:
        """The places of a window that see nothing beyond it: all but a margin, which the scene's border does not need."""
        end, length = start + self.size[axis], self.scene[axis]
        return slice(start + self.reach if start else 0, end - self.reach if end < length else length)


def windows_around(pixels: Tensor, scene: tuple[int, int], reach: int, stride: int) -> Windows:
    """The windows around pixels of a scene whose sum is the smallest among the sizes that are tried.

    Args:
        pixels: (m,), row-major indices; at least one.
        scene: its height and width.
        reach: pixels that must be around each, as far as the scene goes.
        stride: of the grid that windows begin on, and end as the scene does.
    """
    rows, columns = _rows_and_columns(pixels, scene[1])
    smallest = 2 * reach + stride  # a pixel's surroundings, wherever they begin in the grid
    sizes = dict.fromkeys(tuple(_fitted(smallest * growth, length, stride) for length in scene) for growth in GROWTH)
    laid = [_lay(rows, columns, Windows(rows[:0], rows[:0], (h, w), scene, reach), stride) for h, w in sizes]
    return min(laid, key=lambda windows: windows.area)


def _fitted(wanted: float, length: int, stride: int) -> int:
    """The least size from `wanted` on that leaves a multiple of the stride of a scene `length` long; at most that."""
    return length - stride * int((length - wanted) // stride) if wanted < length else length


def _lay(rows: Indices, columns: Indices, empty: Windows, stride: int) -> Windows:
    """Windows over all pixels: in bands from the top, and in each from the left, each begun by the next pixel not held."""
    order = np.argsort(rows, kind="stable")
    tops, lefts = [], []
    for top, band in _cover(rows[order], empty, 0, stride):
        found = np.sort(columns[order[band]])
        for left, _ in _cover(found, empty, 1, stride):
            tops.append(top)
            lefts.append(left)
    return Windows(np.array(tops, np.int64), np.array(lefts, np.int64), empty.size, empty.scene, empty.reach)


def _cover(places: Indices, windows: Windows, axis: int, stride: int) -> list[tuple[int, slice]]:
    """The first pixel of each interval that sorted places along one axis need, and which of the places it holds."""
    first, last = _seen(places, windows.reach, windows.scene[axis])
    latest = windows.scene[axis] - windows.size[axis]
    intervals, next_place = [], 0
    while next_place < len(places):
        start = min(int(first[next_place]) // stride * stride, latest)
        held = int(np.searchsorted(last, start + windows.size[axis]))
        intervals.append((start, slice(next_place, held)))
        next_place = held
    return intervals


def _seen(places: Indices, reach: int, length: int) -> tuple[Indices, Indices]:
    """The first and the last place within reach, along an axis of this length."""
    return np.maximum(places - reach, 0), np.minimum(places + reach, length - 1)


def _rows_and_columns(pixels: Tensor, width: int) -> tuple[Indices, Indices]:
    rows, columns = np.divmod(pixels.cpu().numpy(), width)
    return rows, columns
