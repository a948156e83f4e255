"""The folded form is the network: same outputs, gradients and running statistics, for any size and in both modes."""

from __future__ import annotations

import copy

import pytest
import torch
from quick import quick_config
from torch import Tensor, nn

from agsgtl.config import configure
from agsgtl.models import convolution, folded
from agsgtl.models.networks import Discriminator, Segmenter, build_discriminator, build_segmenter
from agsgtl.models.view import Orientation, PoolingGrid, View

SIZES = [(12, 12), (13, 11), (14, 15), (7, 6)]  # multiples of four, odd at one pooling, at the other, at both


def scrambled(network: nn.Module) -> nn.Module:
    """The network in float64 with no weight, bias or statistic at its initial value."""
    generator = torch.Generator().manual_seed(0)
    network = network.double()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                noise = 0.1 * torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.add_(noise)
    return network


def networks(bands: int = 5, **overrides: object) -> tuple[Segmenter, Discriminator]:
    config = quick_config(model__width=4, model__discriminator_width=6, **overrides)
    segmenter, discriminator = build_segmenter(config, bands, 3, seed=0), build_discriminator(config, 3, seed=1)
    return scrambled(segmenter), scrambled(discriminator)  # type: ignore[return-value]


def judged_plainly(segmenter: Segmenter, discriminator: Discriminator, cube: Tensor) -> Tensor:
    return discriminator.attention(discriminator(segmenter.attended(segmenter.body(cube))))


def judged_folded(segmenter: Segmenter, discriminator: Discriminator, cube: Tensor) -> Tensor:
    features = folded.attended(segmenter.attention, folded.features(segmenter.body, cube))
    return folded.attended(discriminator.attention, folded.logits(discriminator, features))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("through_gate", [True, False])
def test_both_forms_agree(size: tuple[int, int], is_training: bool, through_gate: bool) -> None:
    plain = networks(attention__gradient_through_gate=through_gate)
    composed = copy.deepcopy(plain)
    cube = torch.randn(2, 5, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))  # two windows
    weights = torch.randn(2, 4, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    outputs = []
    for pair, judge in ((plain, judged_plainly), (composed, judged_folded)):
        for network in pair:
            network.train(is_training)
        outputs.append(judge(*pair, cube))
        (outputs[-1] * weights).sum().backward()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-10, atol=1e-10)
    for one, other in zip(plain, composed, strict=True):
        for (name, before), after in zip(one.named_parameters(), other.parameters(), strict=True):
            gradients = [torch.zeros_like(before) if p.grad is None else p.grad for p in (before, after)]
            torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-7, atol=1e-9, msg=name)
        for (name, before), after in zip(one.named_buffers(), other.buffers(), strict=True):
            torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10, msg=name)


def assert_same_step(plain: nn.Module, expected: Tensor, composed: nn.Module, got: Tensor, weights: Tensor) -> None:
    """Both forms' outputs, the gradients of their weighted sums, and the running statistics are the same."""
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    for output in (expected, got):
        (output * weights).sum().backward()
    for before, after in zip(plain.parameters(), composed.parameters(), strict=True):
        torch.testing.assert_close(after.grad, before.grad, rtol=1e-7, atol=1e-9)
    for before, after in zip(plain.buffers(), composed.buffers(), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seen", [View(), View(Orientation((2,), transposed=True), PoolingGrid(0, 1))])
@pytest.mark.parametrize("size", SIZES)
def test_known_patches_change_nothing(size: tuple[int, int], seen: View) -> None:
    _, plain = networks()
    composed = copy.deepcopy(plain)
    maps = 3.0 + torch.randn(1, 4, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(1, 4, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = seen.orientation.undone(plain(seen.orientation.of(maps), seen.grid))
    got = folded.composed(composed)(maps, folded.patches(composed, maps), seen)
    assert_same_step(plain.body, expected, composed.body, got, weights)


def test_the_segmenters_logits_agree() -> None:
    segmenter, _ = networks()
    cube = torch.randn(1, 5, 13, 9, dtype=torch.float64)
    torch.testing.assert_close(folded.logits(segmenter.eval(), cube), segmenter(cube), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bands", [5, 36])
@pytest.mark.parametrize("by_product", [False, True])  # with and without AVX-512
@pytest.mark.parametrize(
    "seen",
    [
        View(Orientation((2,))),
        View(grid=PoolingGrid(1, 0)),
        View(grid=PoolingGrid(2, 3)),
        View(Orientation((3,), transposed=True), PoolingGrid(3, 2)),
    ],
)
def test_a_view_of_the_folded_form_is_one_of_the_scene(
    size: tuple[int, int], bands: int, by_product: bool, seen: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "_has_avx512", lambda: not by_product)
    plain, _ = networks(bands)
    composed = copy.deepcopy(plain)
    cube = torch.randn(1, bands, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = seen.orientation.undone(plain(seen.orientation.of(cube), seen.grid))
    got = folded.composed(composed)(cube, seen=seen)
    assert_same_step(plain.body, expected, composed.body, got, weights)


def test_the_depthwise_family_is_run_as_it_is() -> None:
    settings = {"model.family": "depthwise", "model.width": 21, "model.discriminator_width": 21}
    segmenter = build_segmenter(configure(settings, origin="test"), 21, 3, seed=0).eval()
    cube = torch.randn(1, 21, 32, 32)
    assert torch.equal(folded.logits(segmenter, cube), segmenter(cube))


def test_under_bfloat16_weights_are_composed_in_float32_and_results_stay_close() -> None:
    segmenter, discriminator = (network.float() for network in networks())
    cube = torch.randn(1, 5, 16, 16).contiguous(memory_format=torch.channels_last)
    exact = judged_plainly(segmenter, discriminator, cube)
    with torch.autocast("cpu", torch.bfloat16):
        assert folded.Folded.of(segmenter.body).deep.dtype == torch.float32  # type: ignore[arg-type]
        rounded = judged_folded(segmenter, discriminator, cube)
    error = (rounded.float() - exact).abs().max() / exact.abs().max()
    assert 0 < error < 0.1
