"""A 3x3 convolution whose weights' gradient is a matrix product, for processors where PyTorch's own takes half an epoch.

    dL/dW[o, c, dy, dx] = sum over pixels (y, x) of gradient[o, y, x] * maps[c, y + dy, x + dx],  dy and dx from -1 to 1

With a pixel's neighbours to the left and right laid beside it the sum is three products of matrices with a row a pixel, one a
dy. Those of whichever has fewer channels are laid out: of the maps (dy, dx as they are) or of the gradient (mirrored).
Without AVX-512, PyTorch's own kernel takes two to three times as long for the first layer of a segmenter, and up to three for
the others (`python -m benchmarks.convolution`). It is the faster one for small windows, which are left to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK: Final = 4096
"""About so many pixels are laid out at once: their neighbours stay in the cache, and a large scene needs no memory for them."""

LEAST_WINDOW: Final = 2000
"""Pixels from which on the product pays where there are several images: of windows of 20 x 20 it took twice as long."""


def convolved(convolution: nn.Conv2d, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`convolution(maps)` with another weight (outputs, C / groups, 3, 3) and bias (outputs,): (n, outputs, H, W)."""
    if convolution.groups == 1 and _is_large(maps) and _learns_slowly(maps.device.type):
        return _ByProduct.apply(maps, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return functional.conv2d(maps, weight, bias, padding=1, groups=convolution.groups)


def weight_gradient(maps: Tensor, gradient: Tensor) -> Tensor:
    """The gradient (outputs, C, 3, 3) of the weight from maps (n, C, H, W) and the result's gradient (n, outputs, H, W)."""
    if maps.shape[1] <= gradient.shape[1]:
        return _products(maps, gradient).permute(3, 2, 0, 1)
    return _products(gradient, maps).flip(0, 1).permute(2, 3, 0, 1)


def _is_large(maps: Tensor) -> bool:
    """A scene of any size, or windows that are worth a product each."""
    return len(maps) == 1 or maps.shape[2] * maps.shape[3] >= LEAST_WINDOW


def _learns_slowly(device: str) -> bool:
    """On a CPU without AVX-512, other makes than x86 among them, where a gradient is wanted in full precision.

    Reduced precision has kernels of its own.
    """
    if device != "cpu" or _has_avx512():
        return False
    return torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


@cache
def _has_avx512() -> bool:
    return "AVX512" in torch.backends.cpu.get_cpu_capability()


def _products(around: Tensor, centre: Tensor) -> Tensor:
    """(3, 3, A, C): sums over all pixels of (n, A, H, W) at a pixel's neighbour times (n, C, H, W) at the pixel itself."""
    channels = around.shape[1]
    sums = around.new_zeros(3, 3 * channels, centre.shape[1])
    for neighbours, pixels in _blocks(around, centre):
        sums.baddbmm_(neighbours, pixels.expand(3, -1, -1))
    return sums.reshape(3, 3, channels, -1)


def _blocks(around: Tensor, centre: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Some rows of an image at a time: the neighbours (3, 3 * A, pixels) in the rows above, here and below; the pixels (pixels, C)."""
    width = centre.shape[3]
    rows = max(1, BLOCK // width)
    padded = functional.pad(around.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    for framed, image in zip(padded, centre.permute(0, 2, 3, 1), strict=True):
        for top, part in zip(range(0, len(image), rows), image.split(rows), strict=True):
            pixels = part.flatten(0, 1)
            beside = framed[top : top + len(part) + 2].unfold(1, 3, 1).permute(0, 1, 3, 2).flatten(2).flatten(0, 1)
            yield beside.unfold(0, len(pixels), width), pixels  # three views, each a row further down


class _ByProduct(torch.autograd.Function):
    """The convolution, its weight's gradient as the module says."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(maps, weight)
        return functional.conv2d(maps, weight, bias, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (maps, weight), (gradient,) = ctx.saved_tensors, gradients
        of_maps, of_weight, of_bias = ctx.needs_input_grad
        return (
            functional.conv_transpose2d(gradient, weight, padding=1) if of_maps else None,
            weight_gradient(maps, gradient) if of_weight else None,
            gradient.sum(dim=(0, 2, 3)) if of_bias else None,
        )
