"""Where a scene lies on the Earth: a coordinate system and an affine map from (column, row) to (x, y)."""

from __future__ import annotations

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
