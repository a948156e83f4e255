"""The gradient by hand is PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agsgtl.models.convolution import convolved


def gradients(result: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(result.square().sum(), of)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 4)])
@pytest.mark.parametrize("count", [1, 3])
def test_it_is_the_convolution_with_its_gradients(size: tuple[int, int], count: int) -> None:
    layer = nn.Conv2d(20, 2, 3, padding=1).double()
    assert layer.bias is not None
    maps = torch.randn(count, 20, *size, dtype=torch.float64)
    got, expected = convolved(layer, maps, layer.weight, layer.bias), layer(maps)
    assert "OfGivenMaps" in type(got.grad_fn).__name__
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(gradients(got, layer.weight, layer.bias), gradients(expected, layer.weight, layer.bias))


@pytest.mark.parametrize(("outputs", "groups", "is_given"), [(3, 1, True), (2, 2, True), (2, 1, False)])
def test_elsewhere_it_is_left_to_pytorch(outputs: int, groups: int, is_given: bool) -> None:
    layer = nn.Conv2d(20, outputs, 3, padding=1, groups=groups)
    maps = torch.randn(1, 20, 4, 4, requires_grad=not is_given)
    got = convolved(layer, maps, layer.weight, layer.bias)
    assert "OfGivenMaps" not in type(got.grad_fn).__name__
    assert torch.equal(got, layer(maps))


def test_reduced_precision_is_left_to_pytorch() -> None:
    layer = nn.Conv2d(20, 2, 3, padding=1)
    maps = torch.randn(1, 20, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        got = convolved(layer, maps, layer.weight, layer.bias)
    assert got.dtype == torch.bfloat16
    assert "OfGivenMaps" not in type(got.grad_fn).__name__
