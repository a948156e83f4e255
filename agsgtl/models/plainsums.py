"""A network whose every pixel is the same sum in the same order, wherever it lies and however large the image is.

Libraries choose the order of a convolution's sum by the image's size and the processor, and the last bits follow. Here
one product after the other is added, each an elementwise operation that IEEE 754 fixes to the bit. For prediction alone:
there is no gradient, and dense layers are no slower than a library's on two cores.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_BLOCK_NUMBERS = 100_000
"""Sums that are worked on at once: 400 kB, which stay in a core's cache."""


def in_plain_sums(network: nn.Module) -> nn.Module:
    """A copy of a network in eval mode whose convolutions and image norms sum in one order.

    Raises:
        ValueError: it has a convolution of a kind that our networks do not have.
    """
    plain = copy.deepcopy(network).eval()
    for name, module in list(plain.named_modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            parent, _, own = name.rpartition(".")
            setattr(plain.get_submodule(parent), own, _plain(module))
    return plain


def sum_products(maps: Tensor, weights: Tensor, bias: Tensor, padding: int) -> Tensor:
    """A convolution of stride 1, product by product.

    Args:
        maps: (1, channels, height, width).
        weights: (groups, outputs of a group, inputs of a group, kernel height, kernel width).
        bias: (groups * outputs,).
        padding: zeros around the maps.

    Returns:
        (1, groups * outputs, height, width), less what the kernel takes and the padding does not give back.
    """
    groups, outputs, inputs, kernel_height, kernel_width = weights.shape
    padded = functional.pad(maps[0], (padding,) * 4).unflatten(0, (groups, inputs))
    height, width = padded.shape[2] - kernel_height + 1, padded.shape[3] - kernel_width + 1
    sums = bias.view(groups, outputs, 1, 1).repeat(1, 1, height, width)
    step = max(1, _BLOCK_NUMBERS // (groups * outputs * width))
    for first in range(0, height, step):
        block = sums[:, :, first : first + step]
        product = torch.empty_like(block)
        for channel in range(inputs):
            for y in range(kernel_height):
                rows = slice(first + y, first + y + block.shape[2])
                for x in range(kernel_width):
                    seen = padded[:, None, channel, rows, x : x + width]
                    block += torch.mul(seen, weights[:, :, channel, y, x, None, None], out=product)
    return sums.flatten(0, 1)[None]


class _PlainConvolution(nn.Module):
    def __init__(self, weights: Tensor, bias: Tensor, padding: int) -> None:
        super().__init__()
        self.weights, self.bias, self.padding = weights, bias, padding

    def forward(self, maps: Tensor) -> Tensor:
        return sum_products(maps, self.weights, self.bias, self.padding)


class _PlainDoubling(nn.Module):
    """A transposed convolution of kernel and stride 2: each input pixel gives a square of four of its own."""

    def __init__(self, weights: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weights, self.bias = weights, bias

    def forward(self, maps: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        height, width = 2 * maps.shape[2], 2 * maps.shape[3]
        doubled = self.bias[None, :, None, None].repeat(1, 1, *(output_size or (height, width)))
        for y in (0, 1):
            for x in (0, 1):
                of_corner = self.weights[:, :, :, y, x, None, None]
                doubled[:, :, y:height:2, x:width:2] = sum_products(maps, of_corner, self.bias, 0)
        return doubled


class _PlainNorm(nn.Module):
    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale, self.shift = scale[:, None, None], shift[:, None, None]

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mul(self.scale).add_(self.shift)


def _plain(module: nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d) -> nn.Module:
    if isinstance(module, nn.BatchNorm2d):
        return _plain_norm(module)
    weights = module.weight.detach().contiguous().unflatten(0, (module.groups, -1))
    bias = torch.zeros(module.out_channels) if module.bias is None else module.bias.detach()
    if isinstance(module, nn.Conv2d) and module.stride == (1, 1) and isinstance(module.padding[0], int):
        return _PlainConvolution(weights, bias, module.padding[0])
    weights = weights.transpose(1, 2)  # a transposed convolution keeps its inputs before its outputs
    if module.kernel_size == module.stride == (2, 2):
        return _PlainDoubling(weights, bias)
    if isinstance(module, nn.ConvTranspose2d) and (module.stride, module.padding) == ((1, 1), (1, 1)):
        return _PlainConvolution(weights.flip(3, 4), bias, 1)
    raise ValueError(f"no plain sums are known for {module}")


def _plain_norm(module: nn.BatchNorm2d) -> nn.Module:
    if module.running_mean is None or module.running_var is None:
        raise ValueError("a norm without running statistics depends on the whole image")
    scale = module.weight.detach() / torch.sqrt(module.running_var + module.eps)
    return _PlainNorm(scale, module.bias.detach() - module.running_mean * scale)
