"""A 3x3 convolution of a cube that is given, not learned: its weights' gradient as one matrix product.

dL/dW[o, c, dy, dx] = sum over pixels of g[o, y - dy, x - dx] * maps[c, y, x], with dy and dx from -1 to 1. PyTorch's kernels
for it lay the neighbourhoods of the maps side by side, or loop as if they did; with hundreds of bands and a few outputs the
neighbourhoods of the gradient g are far smaller, and the sum is a product of a (9 * outputs, pixels) by a (pixels, bands) matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def convolved(convolution: nn.Conv2d, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`convolution(maps)` with another weight (outputs, C / groups, 3, 3) and bias (outputs,): (n, outputs, H, W)."""
    if _is_better_by_hand(convolution, maps):
        return _OfGivenMaps.apply(maps, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return functional.conv2d(maps, weight, bias, padding=1, groups=convolution.groups)


def _is_better_by_hand(convolution: nn.Conv2d, maps: Tensor) -> bool:
    """On a CPU, where all the gradient's neighbourhoods are no more numbers than the maps; reduced precision has kernels of its own."""
    is_small = 9 * convolution.out_channels <= convolution.in_channels and convolution.groups == 1
    is_given = torch.is_grad_enabled() and not maps.requires_grad
    return is_small and is_given and maps.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


class _OfGivenMaps(torch.autograd.Function):
    """The convolution, its weight's gradient as the module says; no gradient reaches the maps."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(maps)
        return functional.conv2d(maps, weight, bias, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor | None]:
        (maps,), (gradient,) = ctx.saved_tensors, gradients
        rows = gradient.permute(0, 2, 3, 1)
        around = functional.pad(rows, (0, 0, 1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1).permute(0, 1, 2, 4, 5, 3)
        neighbourhoods = around.flatten(3).flatten(0, 2)  # (n * H * W, 3 * 3 * outputs)
        product = neighbourhoods.T @ maps.permute(0, 2, 3, 1).flatten(0, 2)
        weight = product.reshape(3, 3, rows.shape[-1], maps.shape[1]).flip(0, 1).permute(2, 3, 0, 1)
        return None, weight, rows.sum(dim=(0, 1, 2)) if ctx.needs_input_grad[2] else None
