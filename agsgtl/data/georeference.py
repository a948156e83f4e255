"""Where a scene lies on the Earth: a coordinate system and an affine map from (column, row) to (x, y)."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Georeference:
    """Coordinates of a scene.

    Attributes:
        crs: the coordinate reference system as WKT or like 'EPSG:32614'; empty where the file gives none.
        transform: (a, b, c, d, e, f): x = a * column + b * row + c, y = d * column + e * row + f, for a pixel's upper left
            corner, in the units of `crs`; the order of the package `affine`.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]

    def cropped(self, first_row: int, first_column: int) -> Georeference:
        """The coordinates of a crop that begins at this pixel.

        >>> Georeference("", (10.0, 0.0, 500.0, 0.0, -10.0, 900.0)).cropped(2, 3).transform
        (10.0, 0.0, 530.0, 0.0, -10.0, 880.0)
        """
        a, b, c, d, e, f = self.transform
        x, y = a * first_column + b * first_row + c, d * first_column + e * first_row + f
        return Georeference(self.crs, (a, b, x, d, e, y))

    def pixels_apart(self, other: Georeference, height: int, width: int) -> float:
        """How many pixels of this scene the other one lies away from it, at the corner where that is most.

        Both are scenes of `height` x `width` pixels, and their coordinates are taken to be of one system.

        >>> place = Georeference("", (10.0, 0.0, 500.0, 0.0, -10.0, 900.0))
        >>> place.pixels_apart(place.cropped(0, 2), 5, 5)
        2.0
        """
        if self.transform == other.transform:
            return 0.0
        a, b, _, d, e, _ = self.transform
        area = a * e - b * d
        if area == 0:
            return math.inf
        corners = [(row, column) for row in (0, height) for column in (0, width)]
        moved = [_moved(self.cropped(*corner).transform, other.cropped(*corner).transform) for corner in corners]
        return max(max(abs(e * x - b * y), abs(a * y - d * x)) / abs(area) for x, y in moved)

    @property
    def counts_pixels(self) -> bool:
        """Whether it only numbers the pixels, as ENVI does for a scene that lies nowhere (`map info = {Arbitrary, ...}`)."""
        a, b, _, d, e, _ = self.transform
        return not self.crs and (abs(a), b, d, abs(e)) == (1.0, 0.0, 0.0, 1.0)


def _moved(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[float, float]:
    """From the upper left corner of one transform to the other's, in x and y."""
    return second[2] - first[2], second[5] - first[5]
