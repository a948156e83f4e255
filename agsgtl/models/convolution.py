"""A 3x3 convolution around the kernels of PyTorch's libraries that take half an epoch or more.

    dL/dW[o, c, dy, dx] = sum over pixels (y, x) of gradient[o, y, x] * maps[c, y + dy, x + dx],  dy and dx from -1 to 1

With a pixel's neighbours to the left and right laid beside it the sum is three products of matrices with a row a pixel, one a
dy. Those of whichever has fewer channels are laid out: of the maps (dy, dx as they are) or of the gradient (mirrored).

On a CPU without AVX-512, PyTorch's own kernel of it takes two to three times as long for the first layer of a segmenter, and up
to three for the others (`python -m benchmarks.convolution`). It is the faster one for small windows, which are left to it.

On a GPU in float32 at Houston's size, cuDNN's deterministic kernel of it takes up to fifteen times as long; the gradient of the
maps goes through Fourier transforms, twenty times as long as the same as a convolution; and the first layer's many bands
and few outputs take twice as long as products first and sums afterwards. On small scenes the maps' gradient alone goes its
own way there (`python -m benchmarks.convolution --device cuda`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

BLOCK: Final = 4096
"""About so many pixels are laid out at once: their neighbours stay in the cache, and a large scene needs no memory for them."""

LEAST_WINDOW: Final = 2000
"""Pixels from which on the product pays where there are several images: of windows of 20 x 20 it took twice as long."""

LARGE_ON_GPU: Final = 200_000
"""Pixels from which on a GPU is busy enough with one of our kernels; below, a launch more is what counts."""

MANY_TO_FEW: Final = 4
"""Inputs an output from which on products come first and sums afterwards; they take up to 9 / 4 of the maps' memory."""

UNIT: Final = 64
"""Channels of which cuDNN wants a multiple in bfloat16, or a fraction: 144 take three times as long as to fill them up to 192."""


def convolved(convolution: nn.Conv2d, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`convolution(maps)` with another weight (outputs, C / groups, 3, 3) and bias (outputs,): (n, outputs, H, W)."""
    if convolution.groups == 1 and maps.is_cuda:
        return _on_gpu(maps, weight, bias)
    if convolution.groups == 1 and _is_large(maps) and _learns_slowly(maps.device.type):
        return _ByProduct.apply(maps, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return functional.conv2d(maps, weight, bias, padding=1, groups=convolution.groups)


def weight_gradient(maps: Tensor, gradient: Tensor) -> Tensor:
    """The gradient (outputs, C, 3, 3) of the weight from maps (n, C, H, W) and the result's gradient (n, outputs, H, W)."""
    if maps.shape[1] <= gradient.shape[1]:
        return _products(maps, gradient).permute(3, 2, 0, 1)
    return _products(gradient, maps).flip(0, 1).permute(2, 3, 0, 1)


def _on_gpu(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not torch.is_autocast_enabled("cuda"):
        return _AroundCudnn.apply(maps, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    if _is_large_on_gpu(maps) and maps.shape[1] > UNIT:
        maps, weight = _in_whole_units(maps, weight)
    return functional.conv2d(maps, weight, bias, padding=1)


def _spread(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution from each pixel's own side: one product makes what it gives to its nine neighbours, then they add up."""
    count, _, height, width = maps.shape
    outputs = len(weight)
    to_neighbours = weight.permute(1, 2, 3, 0).flatten(1)  # of whoever has this pixel at (dy, dx)
    given = (maps.permute(0, 2, 3, 1) @ to_neighbours).unflatten(3, (3, 3, outputs))
    sums = maps.new_zeros(count, height + 2, width + 2, outputs)
    if bias is not None:
        sums += bias
    for dy in range(3):
        for dx in range(3):
            sums[:, 2 - dy : 2 - dy + height, 2 - dx : 2 - dx + width] += given[:, :, :, dy, dx]
    return sums[:, 1:-1, 1:-1].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _in_whole_units(maps: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Maps in autocast's format and their weight, with empty channels up to a multiple of `UNIT`."""
    empty = -maps.shape[1] % UNIT
    maps = maps.to(torch.get_autocast_dtype(maps.device.type))
    return functional.pad(maps, (0, 0, 0, 0, 0, empty)), functional.pad(weight, (0, 0, 0, 0, 0, empty))


def map_gradient_on_gpu(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient (n, C, H, W) of the maps from the result's (n, outputs, H, W) and the weight (outputs, C, 3, 3)."""
    return functional.conv2d(gradient, weight.transpose(0, 1).flip(2, 3), padding=1)


def weight_gradient_on_gpu(maps: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """`weight_gradient` of a large scene; of a small one, cuDNN's."""
    if _is_large_on_gpu(maps):
        return weight_gradient(maps, gradient)
    return conv2d_weight(maps, weight.shape, gradient, padding=1)  # type: ignore[no-any-return]


def _is_large(maps: Tensor) -> bool:
    """A scene of any size, or windows that are worth a product each."""
    return len(maps) == 1 or maps.shape[2] * maps.shape[3] >= LEAST_WINDOW


def _is_large_on_gpu(maps: Tensor) -> bool:
    return _is_large(maps) and len(maps) * maps.shape[2] * maps.shape[3] >= LARGE_ON_GPU


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
    return _products_by_row(around, centre) if around.is_cuda else _products_by_block(around, centre)


def _products_by_row(around: Tensor, centre: Tensor) -> Tensor:
    """The same by a product an image row and dy, all rows at once, as a GPU wants it."""
    rows = centre.permute(0, 2, 3, 1)
    height, width = rows.shape[1:3]
    padded = functional.pad(around.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    beside = torch.cat([padded[:, :, dx : dx + width] for dx in range(3)], dim=3)
    shifted = (beside[:, dy : dy + height].flatten(0, 1) for dy in range(3))
    sums = [torch.bmm(neighbours.transpose(1, 2), rows.flatten(0, 1)).sum(dim=0) for neighbours in shifted]
    return torch.stack(sums).reshape(3, 3, around.shape[1], -1)


def _products_by_block(around: Tensor, centre: Tensor) -> Tensor:
    """The same block by block, as a CPU's cache wants it."""
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


def _wanted_gradients(
    ctx: Any,
    gradients: tuple[Tensor, ...],
    of_maps: Callable[[Tensor, Tensor], Tensor],
    of_weight: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Those of maps, weight and bias that autograd asks for, from what it hands down: the gradient of the convolution's result.

    `of_maps` takes gradient and weight, `of_weight` takes maps, gradient and weight.
    """
    (maps, weight), (gradient,) = ctx.saved_tensors, gradients
    wants_maps, wants_weight, wants_bias = ctx.needs_input_grad
    return (
        of_maps(gradient, weight) if wants_maps else None,
        of_weight(maps, gradient, weight) if wants_weight else None,
        gradient.sum(dim=(0, 2, 3)) if wants_bias else None,
    )


class _ByProduct(torch.autograd.Function):
    """The convolution, its weight's gradient as the module says."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution."""
        ctx.save_for_backward(maps, weight)
        return functional.conv2d(maps, weight, bias, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Its gradients of maps, weight and bias."""
        return _wanted_gradients(
            ctx,
            gradients,
            of_maps=lambda gradient, weight: functional.conv_transpose2d(gradient, weight, padding=1),
            of_weight=lambda maps, gradient, _: weight_gradient(maps, gradient),
        )


class _AroundCudnn(torch.autograd.Function):
    """The convolution on a GPU in full precision, as the module says."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution."""
        ctx.save_for_backward(maps, weight)
        if _is_large_on_gpu(maps) and maps.shape[1] >= MANY_TO_FEW * len(weight):
            return _spread(maps, weight, bias)
        return functional.conv2d(maps, weight, bias, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Its gradients of maps, weight and bias."""
        return _wanted_gradients(ctx, gradients, of_maps=map_gradient_on_gpu, of_weight=weight_gradient_on_gpu)
