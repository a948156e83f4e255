"""A crop of a scene: the rows and columns of its cube that a pair takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from agsgtl.data.georeference import Georeference
from agsgtl.data.scene import Scene
from agsgtl.data.schema import Crop
from agsgtl.errors import UserError


@dataclass(frozen=True, eq=False)
class CubePart:
    """A crop of a whole cube: `rows` and `columns` are [first, past the last), 0-based."""

    cube: NDArray[Any]
    checksum: str
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def pixels(self) -> NDArray[Any]:
        """(height, width, bands) of the crop, a view."""
        return self.cube[slice(*self.rows), slice(*self.columns)]


def cut(scene: Scene, crop: Crop, origin: str) -> CubePart:
    """The scene's cube in the rows and columns of a crop.

    Raises:
        UserError: they leave the scene; `origin` says which file names them.
    """
    height, width = scene.labels.shape
    rows, columns = crop.rows or [0, height - 1], crop.columns or [0, width - 1]
    if rows[1] >= height or columns[1] >= width:
        raise UserError(
            f"{scene.name}: rows {rows} and columns {columns} (first and last, 0-based) must lie in the scene, which has "
            f"{height} rows and {width} columns; correct {origin}"
        )
    return CubePart(scene.cube, scene.checksum, (rows[0], rows[1] + 1), (columns[0], columns[1] + 1))


def cropped(scene: Scene, part: CubePart) -> Georeference | None:
    """The coordinates of a crop, where the scene has any."""
    return None if scene.georeference is None else scene.georeference.cropped(part.rows[0], part.columns[0])
