from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from agsgtl.data import scene as scene_module
from agsgtl.data.scene import Scene, cube_checksum, row_blocks
from agsgtl.errors import UserError


def make_scene(**changes: Any) -> Scene:
    cube = np.zeros((12, 10, 4), np.uint16)
    good: dict[str, Any] = {
        "name": "a scene",
        "cube": cube,
        "labels": np.zeros((12, 10), np.uint8),
        "class_names": {},
        "colours": {},
        "wavelengths_nm": None,
        "checksum": "",
    }
    return Scene(**{**good, **changes})


def test_a_scene_keeps_the_files_dtype() -> None:
    assert make_scene().cube.dtype == np.uint16


def test_a_scene_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_scene().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cube": np.zeros((12, 10))}, r"three axes \(height, width, bands\).*\(12, 10\)"),
        ({"cube": np.zeros((0, 10, 4))}, "none empty"),
        ({"cube": np.zeros((12, 10, 4), complex)}, "real numbers, but it holds complex128"),
        ({"cube": np.full((12, 10, 4), np.nan)}, "480 of its 480 values are NaN or infinite"),
        ({"labels": np.zeros((12, 10, 1), int)}, r"label image must be \(height, width\)"),
        ({"labels": np.zeros((10, 12), int)}, "height and width seem to be swapped"),
        ({"labels": np.zeros((10, 4), int)}, r"seems to be \(bands, height, width\)"),
        ({"labels": np.zeros((4, 10), int)}, r"seems to be \(bands, width, height\)"),
        ({"labels": np.zeros((5, 5), int)}, r"must have the cube's height and width \(12, 10\).*\(5, 5\)"),
        ({"labels": np.zeros((12, 10))}, "must hold integers, but it holds float64"),
        ({"labels": np.full((12, 10), -1)}, "-1 is among them"),
        ({"wavelengths_nm": np.arange(3.0)}, r"one number a band.*\(3,\).*4 bands"),
    ],
)
def test_an_unsound_scene_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"a scene: .*{message}") as error:
        make_scene(**changes)
    assert "\n" not in str(error.value)


def test_checksum_sees_dtype_shape_and_values_but_not_memory_order() -> None:
    cube = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    same = cube_checksum(np.asfortranarray(cube))
    changed = cube.copy()
    changed[1, 2, 3] += 1
    others = [changed, cube.astype(np.int16), cube.reshape(3, 2, 4)]
    assert same == cube_checksum(cube)
    assert same not in [cube_checksum(other) for other in others]


def test_row_blocks_cover_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_module, "BLOCK_BYTES", 8 * 10 * 4 * 5)
    assert list(row_blocks(np.zeros((12, 10, 4)))) == [slice(0, 5), slice(5, 10), slice(10, 12)]
