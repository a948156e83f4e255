from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from agsgtl.data.blocks import distance_to, separate
from agsgtl.data.pools import TestPoolRule, split_pools
from agsgtl.errors import UserError


def fields(height: int, width: int, classes: int, seed: int) -> np.ndarray:
    """Labels in random patches of 6 x 6 pixels."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, classes + 1, (-(-height // 6), -(-width // 6)))
    return np.kron(patches, np.ones((6, 6), int))[:height, :width].astype(np.uint8)


@settings(max_examples=12)
@given(seed=st.integers(0, 999), buffer=st.integers(0, 12), size=st.integers(30, 70))
def test_every_test_pixel_is_farther_than_the_buffer_from_every_development_pixel(
    seed: int, buffer: int, size: int
) -> None:
    labels = fields(size, size + 7, 3, seed)
    parted = separate(labels, 3, buffer, fraction=0.5, minimum=5, seed=seed)
    test, development = np.argwhere(parted.test), np.argwhere(parted.development)
    if len(test) and len(development):
        assert cdist(test, development, "chebyshev").min() > buffer
    for image in (parted.test, parted.development):
        np.testing.assert_array_equal(image[image > 0], labels[image > 0])


def test_all_classes_are_on_both_sides_where_a_line_does_it() -> None:
    labels = fields(96, 60, 4, seed=1)
    rule = TestPoolRule(split="blocks", network="shallow")
    pools = split_pools(labels, ("a", "b", "c", "d"), rule, "pair")
    for index in range(1, 5):
        assert np.count_nonzero(pools.test == index) >= 15
        assert np.count_nonzero(pools.development == index) >= 15
    assert distance_to(pools.development > 0)[pools.test > 0].min() > 21
    assert "blocks more than 21 pixels" in pools.note


def test_the_same_arguments_part_the_same_and_coarse_cells_keep_the_buffer() -> None:
    labels = fields(400, 200, 3, seed=2)
    first, second = (separate(labels, 3, 46, 0.5, 15, seed=0) for _ in range(2))
    np.testing.assert_array_equal(first.test, second.test)
    assert np.count_nonzero(first.test)
    assert distance_to(first.development > 0)[first.test > 0].min() > 46


def test_a_class_in_one_field_only_is_named() -> None:
    labels = fields(96, 60, 2, seed=1)
    labels[labels == 3] = 0
    labels[:5, :5] = 3
    with pytest.raises(
        UserError, match=r"pair: no spatial split gives class 'c' 15 test pixels .* more than 21 pixels apart; leave"
    ):
        split_pools(labels, ("a", "b", "c"), TestPoolRule(split="blocks"), "pair")


def test_distance_counts_rows_or_columns() -> None:
    there = np.zeros((5, 6), bool)
    there[1, 1] = True
    assert distance_to(there)[4, 3] == 3
    assert distance_to(there)[1, 5] == 4
    assert distance_to(np.zeros((2, 2), bool)).min() == 4
