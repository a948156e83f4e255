"""Plain sums are the networks' own convolutions, and a pixel's sum does not depend on the image around its reach."""

from __future__ import annotations

import pytest
import torch
from authors_files import FAMILIES, spread_norms
from torch import nn

from agsgtl.models.networks import build_discriminator, build_segmenter
from agsgtl.models.plainsums import in_plain_sums, sum_products


def test_a_convolution_is_hand_computed() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    weights = torch.zeros(1, 1, 1, 3, 3)
    weights[0, 0, 0, 1, 1], weights[0, 0, 0, 0, 1] = 10.0, 1.0  # the pixel tenfold, and the one above it
    expected = [[[[10.5, 20.5], [31.5, 42.5]]]]
    assert sum_products(maps, weights, torch.tensor([0.5]), padding=1).tolist() == expected


@pytest.mark.parametrize("family", ["shallow", "depthwise"])
@pytest.mark.parametrize("size", [(33, 47), (16, 32)])
def test_both_networks_give_pytorchs_numbers(family: str, size: tuple[int, int]) -> None:
    config = FAMILIES[family]
    segmenter, discriminator = build_segmenter(config, 42, 4, 0), build_discriminator(config, 4, 1)
    for network, channels in ((segmenter, 42), (discriminator, config.model.width)):
        spread_norms(network)
        maps = torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            expected, found = network.eval()(maps), in_plain_sums(network)(maps)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("columns", [17, 100, 331])
def test_a_pixels_sum_is_the_same_in_an_image_of_any_width(columns: int) -> None:
    generator = torch.Generator().manual_seed(0)
    maps, weights = torch.randn(1, 12, 9, 331, generator=generator), torch.randn(2, 5, 6, 3, 3, generator=generator)
    whole = sum_products(maps, weights, torch.zeros(10), padding=1)
    part = sum_products(maps[..., :columns], weights, torch.zeros(10), padding=1)
    assert torch.equal(part[..., : columns - 1], whole[..., : columns - 1])


def test_other_convolutions_are_refused() -> None:
    with pytest.raises(ValueError, match="no plain sums are known for Conv2d"):
        in_plain_sums(nn.Sequential(nn.Conv2d(3, 4, 3, stride=3)))
