from __future__ import annotations

import dataclasses
import hashlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import write_tiny_pair

from agsgtl.data.labels import LabelDraw, draw_labels
from agsgtl.data.pairing import DomainPair, load_pair
from agsgtl.data.vault import LabelVault
from agsgtl.errors import UserError

SEEDS = st.integers(0, 2**31)


@cache
def a_pair() -> DomainPair:
    """Three classes of 40 pixels each; 20 of them development."""
    with TemporaryDirectory() as folder:
        pair = load_pair(str(write_tiny_pair(Path(folder))))
        return dataclasses.replace(pair, source_cube=np.array(pair.source_cube), target_cube=np.array(pair.target_cube))


def counts(image: np.ndarray) -> list[int]:
    return np.bincount(image.ravel(), minlength=4)[1:].tolist()


@settings(max_examples=40)
@given(k=st.integers(1, 15), v=st.integers(0, 5), seed=SEEDS)
def test_a_draw_has_k_and_v_pixels_a_class_from_disjoint_pools(k: int, v: int, seed: int) -> None:
    pair = a_pair()
    draw = draw_labels(pair, k, v, seed)
    assert counts(draw.target_train) == [k] * 3
    assert counts(draw.target_validation) == [v] * 3
    assert not np.any((draw.target_train > 0) & (draw.target_validation > 0))
    for image in (draw.target_train, draw.target_validation):
        np.testing.assert_array_equal(image[image > 0], pair.development_labels[image > 0])


@settings(max_examples=40)
@given(k=st.integers(1, 9), v=st.integers(0, 4), seed=SEEDS)
def test_draws_are_nested_in_both_counts(k: int, v: int, seed: int) -> None:
    small, large = draw_labels(a_pair(), k, v, seed), draw_labels(a_pair(), k + 1, v + 1, seed)
    for name in ("target_train", "target_validation"):
        few, more = getattr(small, name), getattr(large, name)
        np.testing.assert_array_equal(few[few > 0], more[few > 0])


@settings(max_examples=20)
@given(seed=SEEDS)
def test_a_seed_is_one_draw_and_the_source_split_ignores_k(seed: int) -> None:
    first, again, other_k = (draw_labels(a_pair(), k, 5, seed) for k in (3, 3, 10))
    for name in ("source_train", "source_validation", "target_train", "target_validation"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    np.testing.assert_array_equal(first.source_train, other_k.source_train)


def test_another_seed_is_another_draw_in_both_domains() -> None:
    first, second = draw_labels(a_pair(), 5, 5, 0), draw_labels(a_pair(), 5, 5, 1)
    assert not np.array_equal(first.target_train, second.target_train)
    assert not np.array_equal(first.source_train, second.source_train)


def test_each_source_class_splits_eighty_to_twenty() -> None:
    draw = draw_labels(a_pair(), 1, 0, 0)
    assert (counts(draw.source_train), counts(draw.source_validation)) == ([32] * 3, [8] * 3)
    np.testing.assert_array_equal(np.maximum(draw.source_train, draw.source_validation), a_pair().source_labels)


def test_two_source_pixels_are_one_and_one_and_one_is_refused() -> None:
    labels = a_pair().source_labels.copy()
    ones = np.flatnonzero(labels == 1)
    labels.flat[ones[2:]] = 0
    draw = draw_labels(dataclasses.replace(a_pair(), source_labels=labels), 1, 0, 0)
    assert (counts(draw.source_train)[0], counts(draw.source_validation)[0]) == (1, 1)
    labels = labels.copy()
    labels.flat[ones[1]] = 0
    with pytest.raises(UserError, match="class 'class 1' has 1 source pixels, but training and validation need 1 each"):
        draw_labels(dataclasses.replace(a_pair(), source_labels=labels), 1, 0, 0)


def test_a_class_too_small_for_k_and_v_is_named_with_the_remedy() -> None:
    message = "tiny: class 'class 1' has 20 target pixels outside the test pool, but k = 17 .* v = 4 .* need 21; lower labels.per_class"
    with pytest.raises(UserError, match=message):
        draw_labels(a_pair(), 17, 4, 0)


@pytest.mark.parametrize(("k", "v", "seed", "what"), [(0, 5, 0, "k"), (1, -1, 0, "v"), (1, 0, -1, "the label seed")])
def test_numbers_that_make_no_draw_are_refused(k: int, v: int, seed: int, what: str) -> None:
    with pytest.raises(UserError, match=f"{what} must be at least"):
        draw_labels(a_pair(), k, v, seed)


def test_overlapping_draws_cannot_be_built() -> None:
    draw = draw_labels(a_pair(), 5, 5, 0)
    with pytest.raises(ValueError, match="target training and validation labels must be disjoint, but share 15 pixels"):
        dataclasses.replace(draw, target_validation=draw.target_train)
    with pytest.raises(ValueError, match="source training and validation labels must be disjoint, but share 96 pixels"):
        LabelDraw(draw.source_train, draw.source_train, draw.target_train, draw.target_validation)


def test_the_bundled_pairs_pool_and_draw_never_change_silently() -> None:
    """Every published number rests on these pixels; a change needs a new TRAINER_VERSION and a line in the CHANGELOG."""
    name = "indian_pines/west_to_east"
    draw = draw_labels(load_pair(name), 10, 5, 41)
    images = [LabelVault(name).test_labels(), draw.source_train, draw.target_train, draw.target_validation]
    assert [hashlib.sha256(image.tobytes()).hexdigest()[:8] for image in images] == [
        "275bb8b5",
        "d2529d3b",
        "4610af4c",
        "7a215c9d",
    ]
