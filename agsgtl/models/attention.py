"""Spatial attention: one gate a pixel, computed from the pixel's own channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, final

from torch import Tensor, nn
from torch.nn import functional

LEAKY_SLOPE: Final = 0.01
"""PyTorch's default slope, which the authors use."""


@final
class SpatialAttention(nn.Module):
    """`A(x) = x * (floor + (ceiling - floor) * sigmoid(g(x)))` with g = linear, BN, leaky ReLU, ..., linear, BN.

    The authors' gate lies in (1, 2) and sees a *detached* input: gradients reach x through the product alone, and reach
    g's own weights (Yaghmour et al. 2024, authors' code). `gradient_through_gate` lifts that.

    Args:
        widths: channels of the input, then of each linear layer; the last is 1.
        floor: lowest value of the gate.
        ceiling: highest value of the gate.
    """

    def __init__(
        self, widths: Sequence[int], floor: float = 1.0, ceiling: float = 2.0, gradient_through_gate: bool = False
    ) -> None:
        super().__init__()
        self.floor, self.ceiling, self.gradient_through_gate = floor, ceiling, gradient_through_gate
        self.depth = len(widths) - 1
        for layer, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            self.add_module(f"Liner{layer}", nn.Linear(inputs, outputs))  # the authors' spelling
            self.add_module(f"Batch{layer}", nn.BatchNorm1d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        """The gated maps, (1, channels, height, width) like the input."""
        return maps * self.gate(maps)

    def gate(self, maps: Tensor) -> Tensor:
        """The gate of every pixel, (n, 1, height, width); each pixel is one row of the batch norms."""
        number, channels, height, width = maps.shape
        seen = maps if self.gradient_through_gate else maps.detach()
        rows = seen.permute(0, 2, 3, 1).reshape(-1, channels)
        for layer in range(1, self.depth + 1):
            rows = self.get_submodule(f"Batch{layer}")(self.get_submodule(f"Liner{layer}")(rows))
            if layer < self.depth:
                rows = functional.leaky_relu(rows, LEAKY_SLOPE)
        return (self.floor + (self.ceiling - self.floor) * rows.sigmoid()).reshape(number, 1, height, width)
