"""The gradient by a matrix product is PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agsgtl.models import convolution
from agsgtl.models.convolution import (
    UNIT,
    _AroundCudnn,
    _in_whole_units,
    _products_by_block,
    _products_by_row,
    _spread,
    convolved,
)

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(autouse=True)
def without_avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_has_avx512", lambda: False)


def gradients(result: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(result.square().sum(), of)


def is_by_product(result: Tensor) -> bool:
    return "_ByProduct" in type(result.grad_fn).__name__


@pytest.mark.parametrize("block", [1, 9, convolution.BLOCK])  # a row at a time, two of four, all
@pytest.mark.parametrize("channels", [(20, 2), (3, 5), (4, 4)])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 4)])
@pytest.mark.parametrize("count", [1, 3])
def test_it_is_the_convolution_with_its_gradients(
    block: int, channels: tuple[int, int], size: tuple[int, int], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "BLOCK", block)
    monkeypatch.setattr(convolution, "LEAST_WINDOW", 1)
    inputs, outputs = channels
    layer = nn.Conv2d(inputs, outputs, 3, padding=1).double()
    assert layer.bias is not None
    maps = torch.randn(count, inputs, *size, dtype=torch.float64, requires_grad=True)
    got, expected = convolved(layer, maps, layer.weight, layer.bias), layer(maps)
    assert is_by_product(got)
    torch.testing.assert_close(got, expected)
    of = (maps, layer.weight, layer.bias)
    torch.testing.assert_close(gradients(got, *of), gradients(expected, *of))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 4)])
def test_row_by_row_the_products_are_those_of_blocks(size: tuple[int, int], count: int) -> None:
    around = torch.randn(count, 3, *size, dtype=torch.float64)
    centre = torch.randn(count, 5, *size, dtype=torch.float64)
    by_row, by_block = (products(around, centre) for products in (_products_by_row, _products_by_block))
    assert by_row.shape == (3, 3, 3, 5)
    torch.testing.assert_close(by_row, by_block)


@pytest.mark.parametrize("least", [1, 10**9])  # a large scene, a small one
@pytest.mark.parametrize("channels", [(3, 5), (8, 2)])
@pytest.mark.parametrize("device", DEVICES)
def test_around_cudnn_it_is_the_convolution_with_its_gradients(
    device: str, channels: tuple[int, int], least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "LARGE_ON_GPU", least)
    inputs, outputs = channels
    layer = nn.Conv2d(inputs, outputs, 3, padding=1).double().to(device)
    assert layer.bias is not None
    maps = torch.randn(1, inputs, 6, 7, dtype=torch.float64, device=device, requires_grad=True)
    got, expected = _AroundCudnn.apply(maps, layer.weight, layer.bias), layer(maps)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(got, expected)
    of = (maps, layer.weight, layer.bias)
    torch.testing.assert_close(gradients(got, *of), gradients(expected, *of))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("channels", [(8, 2), (130, 5)])
def test_on_a_gpu_a_large_scene_has_the_same_convolution_and_gradients(
    channels: tuple[int, int], reduced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "LARGE_ON_GPU", 1)
    inputs, outputs = channels
    dtype = torch.float32 if reduced else torch.float64  # autocast leaves float64 alone
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, device="cuda", dtype=dtype)
    maps = torch.randn(1, inputs, 6, 7, dtype=dtype, device="cuda")
    of = [layer.weight, layer.bias]
    expected = layer(maps)
    with torch.autocast("cuda", torch.bfloat16, enabled=reduced):
        got = convolved(layer, maps, layer.weight, layer.bias)
    near = {"rtol": 2e-2, "atol": 1.0} if reduced else {"rtol": 1e-9, "atol": 1e-9}
    assert got.dtype == (torch.bfloat16 if reduced else torch.float64)
    for ours, theirs in zip((got, *gradients(got, *of)), (expected, *gradients(expected, *of)), strict=True):
        torch.testing.assert_close(ours.to(dtype), theirs, **near)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_what_pixels_give_to_their_neighbours_adds_up_to_the_convolution(count: int, has_bias: bool) -> None:
    layer = nn.Conv2d(8, 2, 3, padding=1, bias=has_bias).double()
    maps = torch.randn(count, 8, 5, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    got = _spread(maps, layer.weight, layer.bias)
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, layer(maps))


@pytest.mark.parametrize("channels", [64, 70, 130])
def test_empty_channels_change_no_convolution(channels: int) -> None:
    layer = nn.Conv2d(channels, 2, 3, padding=1, bias=False)
    maps = torch.randn(1, channels, 5, 6).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        padded, weight = _in_whole_units(maps, layer.weight)
        got, expected = (functional.conv2d(*of, padding=1) for of in ((padded, weight), (maps, layer.weight)))
    assert padded.dtype == torch.bfloat16
    assert padded.shape[1] % UNIT == 0
    torch.testing.assert_close(got, expected, rtol=1e-2, atol=1e-2)


def test_no_gradient_is_made_that_nobody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Conv2d(2, 3, 3, padding=1).requires_grad_(False)
    maps = torch.randn(1, 2, 4, 4, requires_grad=True)
    monkeypatch.delattr(convolution, "weight_gradient")
    got = convolved(layer, maps, layer.weight, layer.bias)
    torch.testing.assert_close(gradients(got, maps), gradients(layer(maps), maps))


def test_groups_other_devices_and_avx512_are_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    grouped, plain = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(4, 4, 3, padding=1)
    maps = torch.randn(1, 4, 5, 6)
    got = convolved(grouped, maps, grouped.weight, grouped.bias)
    assert not is_by_product(got)
    assert torch.equal(got, grouped(maps))
    elsewhere = nn.Conv2d(4, 4, 3, padding=1, device="meta")
    assert not is_by_product(convolved(elsewhere, maps.to("meta"), elsewhere.weight, elsewhere.bias))
    monkeypatch.setattr(convolution, "_has_avx512", lambda: True)
    assert not is_by_product(convolved(plain, maps, plain.weight, plain.bias))


@pytest.mark.parametrize(
    ("count", "size", "by_product"), [(1, (4, 5), True), (2, (20, 20), False), (2, (40, 50), True)]
)
def test_small_windows_are_left_to_pytorch(count: int, size: tuple[int, int], by_product: bool) -> None:
    layer = nn.Conv2d(2, 3, 3, padding=1)
    got = convolved(layer, torch.randn(count, 2, *size), layer.weight, layer.bias)
    assert is_by_product(got) == by_product


def test_reduced_precision_is_left_to_pytorch() -> None:
    layer = nn.Conv2d(20, 2, 3, padding=1)
    maps = torch.randn(1, 20, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        got = convolved(layer, maps, layer.weight, layer.bias)
    assert got.dtype == torch.bfloat16
    assert not is_by_product(got)
