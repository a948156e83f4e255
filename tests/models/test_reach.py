from __future__ import annotations

import pytest
import torch
from torch import nn

from agsgtl.data.pools import BUFFERS
from agsgtl.models.reach import STRIDES, measure, reach_of


@pytest.mark.parametrize(("kernel", "reach"), [(1, 0), (3, 1), (5, 2)])
def test_the_reach_of_a_convolution_is_half_its_kernel(kernel: int, reach: int) -> None:
    assert measure(nn.Conv2d(2, 2, kernel, padding=kernel // 2), channels=2, stride=1) == reach


def test_a_pooling_and_its_upsampling_reach_one_pixel() -> None:
    network = nn.Sequential(nn.MaxPool2d(2), nn.ConvTranspose2d(1, 1, 2, stride=2))
    assert measure(network, channels=1, stride=2) == 1


def test_the_families_reach_is_hand_counted() -> None:
    """Shallow: 2 pixels, then 1 at half size, a pooling to quarter size and back: 2 + 2 + 3 = 7."""
    shallow, depthwise = reach_of("shallow"), reach_of("depthwise")
    assert (shallow.segmenter, shallow.discriminator, shallow.both, shallow.buffer) == (7, 7, 14, 21)
    assert (depthwise.segmenter, depthwise.both, depthwise.buffer) == (46, 92, 138)


@pytest.mark.parametrize("family", list(STRIDES))
def test_the_data_layers_buffers_are_the_networks(family: str) -> None:
    assert reach_of(family).buffer == BUFFERS[family]


def test_one_pixel_farther_changes_nothing_and_one_nearer_something() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2), nn.ConvTranspose2d(1, 1, 2, stride=2))
    reach = measure(network, channels=1, stride=2)
    farthest = 0
    for place in (16, 17):  # both places of the pooling's grid
        image = torch.zeros(1, 1, 32, 32)
        changed = image.clone()
        changed[0, 0, place, 16] = 1000.0
        rows = (network(image) != network(changed))[0, 0].any(dim=1).nonzero()
        farthest = max(farthest, int((rows - place).abs().max()))
    assert farthest == reach == 2
