from __future__ import annotations

import math

import pytest
import torch
from quick import quick_config
from torch.nn import functional

from agsgtl.errors import UserError
from agsgtl.models.networks import build_discriminator, build_segmenter
from agsgtl.models.view import PoolingGrid

FAMILIES = {
    "shallow": {},
    "depthwise": {"model__family": "depthwise", "model__width": 21, "model__discriminator_width": 21},
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(16, 16), (17, 19), (18, 23)])
def test_logits_have_the_scene_size(family: str, size: tuple[int, int]) -> None:
    config = quick_config(**FAMILIES[family])
    segmenter, discriminator = build_segmenter(config, 42, 3, seed=0), build_discriminator(config, 3, seed=0)
    cube = torch.randn(1, 42, *size)
    assert segmenter(cube).shape == (1, 3, *size)
    assert discriminator(segmenter.body(cube)).shape == (1, 4, *size)


def test_same_seed_same_weights_and_the_global_generator_is_untouched() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two = (build_segmenter(quick_config(), 8, 3, seed=7).state_dict() for _ in range(2))
    assert torch.rand(1) == expected
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = build_segmenter(quick_config(), 8, 3, seed=8).state_dict()
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


def test_xavier_gain_is_sqrt_two_in_encoders_and_one_elsewhere() -> None:
    config = quick_config(model__width=64)
    segmenter = build_segmenter(config, 64, 3, seed=0)
    encoder = segmenter.body.encoder1[0].weight  # 64 -> 64, 3x3
    decoder = segmenter.body.decoder22.weight  # 256 -> 128, 1x1
    assert encoder.std().item() == pytest.approx(math.sqrt(2) * math.sqrt(2 / (64 * 9 * 2)), rel=0.03)
    assert decoder.std().item() == pytest.approx(math.sqrt(2 / (256 + 128)), rel=0.03)


def test_depthwise_refuses_bands_that_its_groups_do_not_divide() -> None:
    with pytest.raises(UserError, match="multiple of 21 bands, but the pair has 40"):
        build_segmenter(quick_config(**FAMILIES["depthwise"]), 40, 3, seed=0)


def test_depthwise_segmenter_has_no_attention() -> None:
    segmenter = build_segmenter(quick_config(**FAMILIES["depthwise"]), 42, 3, seed=0)
    assert segmenter.attention is None
    with pytest.raises(TypeError, match="no attention"):
        segmenter.attended(torch.zeros(1, 21, 8, 8))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("grid", [PoolingGrid(1, 0), PoolingGrid(3, 2)])
def test_a_scene_on_another_grid_is_a_piece_of_a_larger_scene_on_its_own(family: str, grid: PoolingGrid) -> None:
    """What lies ahead of a scene in a larger one shifts the poolings as the grid does; far from the border nothing else does."""
    segmenter = build_segmenter(quick_config(**FAMILIES[family]), 42, 3, seed=0)
    scene = torch.randn(1, 42, 160, 160)
    larger = functional.pad(scene, (grid.columns, 0, grid.rows, 0))
    shifted, whole = segmenter.eval()(scene, grid), segmenter(larger)[..., grid.rows :, grid.columns :]
    assert not torch.allclose(shifted, segmenter(scene), atol=1e-3)
    inner = (..., slice(80, -40), slice(80, -40))
    torch.testing.assert_close(shifted[inner], whole[inner], rtol=1e-4, atol=1e-5)
