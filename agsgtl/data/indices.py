"""Files of test pixels: plain integers with a checksum, and their making from the authors' pickled arrays.

An index file is JSON: `shape` [height, width] of the target's label image, `indices` (row-major, 0-based, ascending) and
`sha256` of the two.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.data.plainpickle import load_plain
from agsgtl.durable import replace_bytes
from agsgtl.errors import UserError

Pixels = NDArray[np.int64]
"""(n,): row-major indices of pixels, ascending, each once."""


def read_index_file(path: Path, shape: tuple[int, ...]) -> Pixels:
    """The pixels of an index file.

    Raises:
        UserError: the file cannot be read, is no index file, was changed, is of an image of another shape, or leaves it.
    """
    try:
        content = json.loads(path.read_bytes())
        stored, of_shape = [int(index) for index in content["indices"]], [int(side) for side in content["shape"]]
        checksum = str(content["sha256"])
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise UserError(f"{path}: is no index file; make one with `agsgtl data import-indices`") from None
    if checksum != _checksum(of_shape, stored):
        raise UserError(
            f"{path}: was changed by hand: its indices do not have the SHA-256 beside them; import them again"
        )
    if tuple(of_shape) != shape:
        raise UserError(
            f"{path}: is of a label image of shape {tuple(of_shape)}, but the target's is {shape}; import it for this pair"
        )
    outside = [index for index in stored if not 0 <= index < math.prod(shape)]
    if outside:
        raise UserError(
            f"{path}: indices must lie in 0..{math.prod(shape) - 1} for the label image {shape}, but {len(outside)} of its "
            f"{len(stored)} do not; import them again"
        )
    return np.array(stored, np.int64)


def write_index_file(path: Path, pixels: Pixels, shape: tuple[int, int]) -> None:
    """Writes an index file in the place of an earlier one."""
    stored, sides = [int(index) for index in pixels], [int(side) for side in shape]
    content = {"shape": sides, "sha256": _checksum(sides, stored), "indices": stored}
    replace_bytes(path, (json.dumps(content) + "\n").encode())


def import_indices(path: Path, labelled: NDArray[np.bool_]) -> Pixels:
    """The pixels that a foreign file lists: the authors' pickle, or a `.npy` or `.npz`.

    The authors' files hold (n, 2) rows and columns, as `numpy.argwhere` gives them. Flat indices (n,) and a mask of the
    image's shape are read too, of booleans or (but for images two pixels wide) of 0 and 1. Every pixel must be labelled,
    which tells a wrong pair or a wrong order.

    Args:
        path: a pickle (`.pkl`, `.pickle`), `.npy` or `.npz` file.
        labelled: (height, width), where the target's label image is not 0.

    Raises:
        UserError: the file holds anything but whole numbers, or a pixel that is outside the image or not labelled.
    """
    array = _read_whole_numbers(path)
    pixels = _as_pixels(array, labelled.shape, path)
    lost = int(np.count_nonzero(~labelled.reshape(-1)[pixels]))
    if lost:
        raise UserError(
            f"{path}: {lost} of its {len(pixels)} pixels have no label in this pair's target; they belong to another scene, or "
            "rows and columns are swapped"
        )
    return pixels


def _read_whole_numbers(path: Path) -> NDArray[Any]:
    if path.suffix.lower() in (".npy", ".npz"):
        from agsgtl.data.readers import read_array

        content: Any = read_array(path, None)
    else:
        content = load_plain(path)
    if isinstance(content, dict) and len(content) == 1:
        content = next(iter(content.values()))
    try:
        array = np.asarray(content)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind == "f" and np.array_equal(array, np.round(array)):
        array = array.astype(np.int64)
    if array.dtype.kind not in "biu" or array.size == 0:
        raise UserError(
            f"{path}: must hold whole numbers, but holds {type(content).__name__} of {array.dtype}; give the file of indices"
        )
    return array


def _as_pixels(array: NDArray[Any], shape: tuple[int, ...], path: Path) -> Pixels:
    height, width = shape
    if array.shape == shape and (array.dtype.kind == "b" or (width != 2 and array.max() == 1 and array.min() >= 0)):
        return np.flatnonzero(array)
    if array.ndim == 2 and array.shape[1] == 2 and array.dtype.kind != "b":
        rows, columns = array.astype(np.int64).T
        if min(rows.min(), columns.min()) < 0 or rows.max() >= height or columns.max() >= width:
            raise UserError(
                f"{path}: rows and columns must lie in the target's label image {shape}, but some do not; check --pair"
            )
        return np.unique(rows * width + columns)
    if array.ndim == 1 and array.dtype.kind != "b":
        if array.min() < 0 or array.max() >= height * width:
            raise UserError(
                f"{path}: indices must lie in 0..{height * width - 1} for the label image {shape}; check --pair"
            )
        return np.unique(array.astype(np.int64))
    if array.shape == shape:
        raise UserError(
            f"{path}: a mask must hold 0 and 1, and some 1, but its numbers go from {array.min()} to {array.max()}"
        )
    raise UserError(
        f"{path}: must hold (n, 2) rows and columns, (n,) indices or a mask {shape}, but its shape is {array.shape}"
    )


def _checksum(shape: list[int], indices: list[int]) -> str:
    return hashlib.sha256(json.dumps([shape, indices]).encode()).hexdigest()
