from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agsgtl.data.labels import TestPoolRule
from agsgtl.data.pools import Pools, split_pools
from agsgtl.errors import UserError


def striped(counts: tuple[int, ...]) -> np.ndarray:
    """A 12 x 12 image with counts[i] pixels of class i + 1, in row-major order."""
    image = np.zeros(144, np.uint8)
    image[: sum(counts)] = np.repeat(np.arange(1, len(counts) + 1), counts)
    return image.reshape(12, 12)


def test_half_of_each_class_and_at_least_fifteen_pixels_are_test() -> None:
    pools = split_pools(striped((40, 20)), ("a", "b"), TestPoolRule(), "pair")
    assert np.bincount(pools.test.ravel()).tolist() == [144 - 35, 20, 15]
    assert np.bincount(pools.development.ravel()).tolist() == [144 - 25, 20, 5]


@settings(max_examples=40)
@given(first=st.integers(3, 70), second=st.integers(3, 70), seed=st.integers(0, 2**32), fraction=st.floats(0.01, 0.99))
def test_pools_part_the_labels_and_depend_on_image_and_rule_alone(
    first: int, second: int, seed: int, fraction: float
) -> None:
    labels = striped((first, second))
    rule = TestPoolRule(seed=seed, fraction=fraction, minimum=1)
    try:
        pools, again = (split_pools(labels, ("a", "b"), rule, "pair") for _ in range(2))
    except UserError:
        assert round(fraction * min(first, second)) >= min(first, second)
        return
    np.testing.assert_array_equal(np.maximum(pools.test, pools.development), labels)
    assert not np.any((pools.test > 0) & (pools.development > 0))
    np.testing.assert_array_equal(pools.test, again.test)


def test_another_split_seed_is_another_test_pool() -> None:
    labels = striped((60, 60))
    first, second = (split_pools(labels, ("a", "b"), TestPoolRule(seed=seed), "pair").test for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_a_class_without_a_development_pixel_is_named() -> None:
    with pytest.raises(
        UserError, match="pair: class 'b' has 15 labelled target pixels, too few for 15 test pixels and at least 1"
    ):
        split_pools(striped((40, 15)), ("a", "b"), TestPoolRule(), "pair")


def test_overlapping_pools_cannot_be_built() -> None:
    image = striped((5,))
    with pytest.raises(ValueError, match="development pool and the test pool must be disjoint, but share 5 pixels"):
        Pools(development=image, test=image)
