"""A scene is one hyperspectral cube with its label image, and it is sound once it is built."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.georeference import Georeference
from agsgtl.data.scratch import forget_pages
from agsgtl.errors import UserError

BLOCK_BYTES = 16 * 2**20
"""Cubes are worked through in blocks of rows of about this size, so a memory-mapped one never fills the memory."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One cube with its label image.

    Attributes:
        name: what errors call the scene.
        cube: (height, width, bands) numbers as in the file (uint16 stays uint16), possibly a memory map.
        labels: (height, width) integers, 0 = unlabelled.
        class_names: class id -> name.
        colours: class id -> '#rrggbb'.
        wavelengths_nm: (bands,) band centres in nanometres, or None where the files do not tell.
        checksum: see `cube_checksum`.
        georeference: coordinates, where the files have them.

    Raises:
        UserError: shapes, dtypes or values break a rule above; the rule, what came and the remedy are named.
    """

    name: str
    cube: NDArray[Any]
    labels: NDArray[Any]
    class_names: Mapping[int, str]
    colours: Mapping[int, str]
    wavelengths_nm: NDArray[np.float64] | None
    checksum: str
    georeference: Georeference | None = None

    def __post_init__(self) -> None:
        require_fitting(self.name, self.cube, self.labels, self.wavelengths_nm)
        _require_finite(self.name, self.cube)


def require_fitting(
    name: str, cube: NDArray[Any], labels: NDArray[Any], wavelengths_nm: NDArray[np.float64] | None
) -> None:
    """Raises UserError where shapes or types of a scene's arrays contradict each other; looks at no value of the cube."""
    _check_cube(name, cube)
    _check_labels(name, labels, cube.shape)
    bands = cube.shape[2]
    if wavelengths_nm is not None and wavelengths_nm.shape != (bands,):
        raise UserError(
            f"{name}: wavelengths must be one number a band, but their shape is {wavelengths_nm.shape} and the cube has "
            f"{bands} bands; correct the wavelengths' file or array"
        )


def require_image(name: str, labels: NDArray[Any]) -> None:
    """Raises UserError where a label image has not the two axes of an image, as of a picture in colours."""
    if labels.ndim != 2:
        raise UserError(
            f"{name}: a label image must be (height, width), but its shape is {labels.shape}; name another array"
        )


def cube_checksum(cube: NDArray[Any]) -> str:
    """The SHA-256, in hexadecimal, over a cube's dtype, shape and bytes in C order.

    >>> cube_checksum(np.zeros((1, 1, 2), np.uint8))[:8]
    '436dfae3'
    """
    hasher = hashlib.sha256(f"{cube.dtype.str} {cube.shape}".encode())
    for rows in row_blocks(cube):
        hasher.update(np.ascontiguousarray(cube[rows]).tobytes())
    return hasher.hexdigest()


def row_blocks(cube: NDArray[Any]) -> Iterator[slice]:
    """Slices of rows that cover a cube from top to bottom, each about `BLOCK_BYTES` in float64."""
    bytes_per_row = max(1, 8 * int(np.prod(cube.shape[1:])))
    step = max(1, BLOCK_BYTES // bytes_per_row)
    for first in range(0, cube.shape[0], step):
        yield slice(first, min(first + step, cube.shape[0]))
        forget_pages(cube)


def _check_cube(name: str, cube: NDArray[Any]) -> None:
    if cube.ndim != 3 or cube.size == 0:
        raise UserError(
            f"{name}: a cube must have three axes (height, width, bands), none empty, but its shape is {cube.shape}; "
            "name another array or save it with these axes"
        )
    if cube.dtype.kind not in "uif":
        raise UserError(f"{name}: a cube must hold real numbers, but it holds {cube.dtype}; name another array")


def _require_finite(name: str, cube: NDArray[Any]) -> None:
    if cube.dtype.kind != "f":
        return
    bad = sum(int(np.count_nonzero(~np.isfinite(cube[rows]))) for rows in row_blocks(cube))
    if bad:
        raise UserError(
            f"{name}: a cube must be finite, but {bad} of its {cube.size} values are NaN or infinite; fill them"
            ", or leave their bands out with `bands`"
        )


def _check_labels(name: str, labels: NDArray[Any], cube_shape: tuple[int, ...]) -> None:
    require_image(name, labels)
    if labels.shape != cube_shape[:2]:
        raise UserError(
            f"{name}: the label image must have the cube's height and width {cube_shape[:2]}, but its shape is "
            f"{labels.shape}; {_axes_hint(labels.shape, cube_shape)}"
        )
    if labels.dtype.kind not in "ui":
        raise UserError(f"{name}: a label image must hold integers, but it holds {labels.dtype}; name another array")
    if labels.dtype.kind == "i" and int(labels.min()) < 0:
        raise UserError(
            f"{name}: class ids must be 0 (unlabelled) or more, but {int(labels.min())} is among them; use 0"
        )


def _axes_hint(labels_shape: tuple[int, ...], cube_shape: tuple[int, ...]) -> str:
    if labels_shape == cube_shape[1:]:
        return f"the cube {cube_shape} seems to be (bands, height, width): save it as (height, width, bands)"
    if labels_shape == cube_shape[1::-1]:
        return "height and width seem to be swapped: transpose one of the two"
    if labels_shape == cube_shape[:0:-1]:
        return f"the cube {cube_shape} seems to be (bands, width, height): save it as (height, width, bands)"
    return "give the label image of this cube"
