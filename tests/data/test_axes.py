from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from agsgtl.data.axes import ORDER, arrange, label_fit
from agsgtl.errors import UserError

CUBE = np.arange(60).reshape(3, 4, 5)
LABELS = np.ones((3, 4), np.uint8)


def striped(side: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A square scene (side, side, 5) whose classes are vertical stripes."""
    labels = np.repeat(np.arange(1, 4), side // 3)[None].repeat(side, axis=0).astype(np.uint8)
    noise = np.random.default_rng(0).standard_normal((side, side, 5))
    return labels[:, :, None] * 10.0 + noise, labels


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_any_order_is_found_from_the_label_images_shape(order: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(arrange(CUBE.transpose(order), LABELS, None, "a"), CUBE)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_any_order_can_be_said(order: tuple[int, ...]) -> None:
    square, labels = striped()
    said = [ORDER[axis] for axis in order]
    np.testing.assert_array_equal(arrange(square.transpose(order), labels, said, "a"), square)


def test_several_fitting_orders_are_asked_for() -> None:
    message = r"a\.mat: the cube's axes \(3, 4, 4\) fit the label image \(3, 4\) in several orders; say theirs, like `axes: \[height"
    with pytest.raises(UserError, match=message):
        arrange(np.zeros((3, 4, 4)), LABELS, None, "a.mat")
    with pytest.raises(UserError, match="in several orders"):
        arrange(np.zeros((5, 4, 4)), np.ones((4, 4), int), None, "a.mat")


def test_a_square_scene_stays_as_it_is_and_a_turned_one_is_noticed() -> None:
    cube, labels = striped()
    assert arrange(cube, labels, None, "a") is cube
    with pytest.raises(
        UserError,
        match=r"height and width of this square scene seem to be swapped: .* say `axes: \[width, height, bands\]`",
    ):
        arrange(cube.transpose(1, 0, 2), labels, None, "a")


def test_a_cube_that_fits_in_no_order_is_left_to_the_scenes_own_check() -> None:
    assert arrange(CUBE, np.ones((9, 9), int), None, "a") is CUBE


def test_label_fit_is_the_share_of_variance_between_classes() -> None:
    cube = np.array([[[0.0], [2.0], [4.0], [6.0]]])
    assert label_fit(cube, np.array([[1, 1, 2, 2]])) == pytest.approx(16 / 20)
    assert label_fit(cube, np.array([[0, 0, 0, 1]])) == 0.0
