"""How far a network looks: computed from the network itself, by following one spoilt pixel through it."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import nn

from agsgtl.config import Config, configure
from agsgtl.models.networks import SPECTRAL_GROUPS, build_discriminator, build_segmenter

STRIDES = {"shallow": 4, "depthwise": 16}
"""Total stride of a family: two and four poolings by 2. What a pixel sees depends on its place in this grid."""


@dataclass(frozen=True)
class Reach:
    """Pixels that a logit looks away from its own, at most, along rows or columns; `stride` is the grid of the poolings."""

    segmenter: int
    discriminator: int
    stride: int

    @property
    def both(self) -> int:
        """Of the discriminator's logits, through the segmenter, into the cube."""
        return self.segmenter + self.discriminator

    @property
    def buffer(self) -> int:
        """A distance between two pixels above which no input pixel is seen for both, by segmenter here and both there."""
        return self.segmenter + self.both


@functools.cache
def reach_of(family: str) -> Reach:
    """The reach of a family's networks, whatever their widths."""
    config = _small(family)
    segmenter = build_segmenter(config, SPECTRAL_GROUPS, 2, seed=0)
    discriminator = build_discriminator(config, 2, seed=0)
    stride = STRIDES[family]
    return Reach(
        segmenter=measure(segmenter, SPECTRAL_GROUPS, stride),
        discriminator=measure(discriminator, config.model.width, stride),
        stride=stride,
    )


@torch.no_grad()
def measure(network: nn.Module, channels: int, stride: int) -> int:
    """The greatest distance, along rows or columns, at which an input pixel can change a network's output.

    One pixel is NaN, in each place of the grid of poolings; every output that depends on it is NaN. Sizes of the image
    grow until the spoilt part does not touch its border.

    Args:
        network: from (1, channels, H, W) to (1, anything, H, W).
        channels: of its input.
        stride: its total stride.
    """
    network.eval()
    size = 8 * stride
    while True:
        farthest = max(_spoilt(network, channels, size, size // 2 + place) for place in range(stride))
        if farthest < size // 2 - stride:
            return farthest
        size *= 2


def _spoilt(network: nn.Module, channels: int, size: int, place: int) -> int:
    image = torch.zeros(1, channels, size, size)
    image[:, :, place, place] = math.nan
    spoilt = torch.isnan(network(image)[0]).any(dim=0).nonzero()
    return int(spoilt.sub(place).abs().max())


def _small(family: str) -> Config:
    width = {"shallow": 1, "depthwise": SPECTRAL_GROUPS}[family]
    settings: dict[str, str | int] = {"model.family": family, "model.width": width, "model.discriminator_width": width}
    return configure(settings, origin="the smallest networks")
