from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agsgtl.data import scene as scene_module
from agsgtl.data.normalisation import fit_scaling
from agsgtl.data.pairing import DomainPair
from agsgtl.data.sharing import normalised_pixels
from agsgtl.errors import UserError


def with_cubes(pair: DomainPair, source: np.ndarray, target: np.ndarray) -> DomainPair:
    labels = {
        "source_labels": np.zeros(source.shape[:2], np.uint8),
        "development_labels": np.zeros(target.shape[:2], np.uint8),
    }
    return dataclasses.replace(pair, source_cube=source, target_cube=target, **labels)


@pytest.fixture
def pixels(tiny: DomainPair) -> DomainPair:
    """Source: band 0 is 1, 3 (mean 2, deviation 1), band 1 constant 5. Target: band 0 is 2, 10 (mean 6, deviation 4), band 1 is 5, 7."""
    return with_cubes(tiny, np.array([[[1, 5], [3, 5]]], np.uint16), np.array([[[2, 5]], [[10, 7]]], np.uint16))


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        ("per_domain", [[-1, 1], [0, 0]], [[-1, 1], [-1, 1]]),
        ("source", [[-1, 1], [0, 0]], [[0, 8], [0, 2]]),
        ("none", [[1, 3], [5, 5]], [[2, 10], [5, 7]]),
        ("authors", [[0.25, 0.75], [1.25, 1.25]], [[2, 10], [5, 7]]),
    ],
)
def test_each_kind_by_hand(pixels: DomainPair, kind: str, source: list[list[float]], target: list[list[float]]) -> None:
    got_source, got_target = normalised_pixels(dataclasses.replace(pixels, authors_scale=(4.0, 1.0)), kind)
    np.testing.assert_array_equal(got_source, np.array(source, np.float32).T.reshape(1, 2, 2))
    np.testing.assert_array_equal(got_target, np.array(target, np.float32).T.reshape(2, 1, 2))


@pytest.mark.parametrize("kind", ["per_domain", "source", "none", "authors"])
def test_cubes_of_any_order_and_type_become_contiguous_float32(tiny: DomainPair, kind: str) -> None:
    rng = np.random.default_rng(0)
    pair = with_cubes(tiny, np.asfortranarray(rng.random((5, 7, 3))), rng.integers(0, 9, (4, 6, 3)).astype(">u2"))
    raw = pair.source_cube, pair.target_cube
    in_parts = [scaling.apply(cube) for scaling, cube in zip(fit_scaling(pair, kind), raw, strict=True)]
    shapes = [(5, 7, 3), (4, 6, 3), (1, 3, 5, 7), (1, 3, 4, 6)]
    for cube, shape in zip((*normalised_pixels(pair, kind), *in_parts), shapes, strict=True):
        assert (cube.shape, cube.dtype, cube.flags.c_contiguous) == (shape, np.float32, True)


def test_axes_are_moved_not_reshaped(tiny: DomainPair) -> None:
    source = fit_scaling(tiny, "none")[0].apply(tiny.source_cube)
    assert source[0, 3, 1, 2] == tiny.source_cube[1, 2, 3]
    np.testing.assert_array_equal(source[0].transpose(1, 2, 0), tiny.source_cube)


def test_statistics_are_per_band_and_do_not_depend_on_the_blocks(
    tiny: DomainPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = normalised_pixels(tiny, "per_domain")
    monkeypatch.setattr(scene_module, "BLOCK_BYTES", 1)
    for cube, in_rows in zip(whole, normalised_pixels(tiny, "per_domain"), strict=True):
        np.testing.assert_allclose(cube, in_rows, atol=1e-6)
        np.testing.assert_allclose(cube.mean(axis=(0, 1), dtype=float), 0, atol=1e-7)
        np.testing.assert_allclose(cube.std(axis=(0, 1), dtype=float), 1, atol=1e-6)


def test_a_constant_band_becomes_zeros_and_not_rounding_noise(tiny: DomainPair) -> None:
    constant = np.full((12, 12, 8), 0.1)
    source, target = normalised_pixels(with_cubes(tiny, constant, constant), "per_domain")
    assert not source.any()
    assert not target.any()


def test_labels_play_no_part(tiny: DomainPair) -> None:
    blank = dataclasses.replace(
        tiny, source_labels=tiny.source_labels * 0, development_labels=tiny.development_labels * 0
    )
    for cube, without in zip(normalised_pixels(tiny, "source"), normalised_pixels(blank, "source"), strict=True):
        np.testing.assert_array_equal(cube, without)


def test_values_beyond_float32_are_refused(tiny: DomainPair) -> None:
    huge = np.full((12, 12, 8), 1e39)
    with pytest.raises(UserError, match=r"tiny: the target has values beyond float32 after data.normalisation 'none'"):
        normalised_pixels(with_cubes(tiny, huge / 1e30, huge), "none")


def test_an_unknown_kind_is_a_mistake_of_the_caller(tiny: DomainPair) -> None:
    with pytest.raises(ValueError, match="must be per_domain, source, none or authors, got 'zscore'"):
        normalised_pixels(tiny, "zscore")
