from __future__ import annotations

import torch

from benchmarks.convolution import by_product, by_pytorch


def test_both_ways_give_the_gradients_of_autograd() -> None:
    torch.manual_seed(0)
    maps, gradient = torch.randn(1, 5, 9, 7), torch.randn(1, 4, 9, 7)
    layer = torch.nn.Conv2d(5, 4, 3, padding=1)
    layer(maps).backward(gradient)
    expected = (layer.weight.grad, layer.bias.grad)
    torch.testing.assert_close(by_pytorch(maps, gradient, layer.weight.detach()), expected)
    torch.testing.assert_close(by_product(maps, gradient), expected, rtol=1e-4, atol=1e-4)
