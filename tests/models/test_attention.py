from __future__ import annotations

import pytest
import torch

from agsgtl.models.attention import SpatialAttention


def gate_with_last_norm(weight: float, bias: float, **settings: object) -> SpatialAttention:
    attention = SpatialAttention((3, 2, 1), **settings).eval()
    attention.get_submodule("Batch2").weight.data.fill_(weight)
    attention.get_submodule("Batch2").bias.data.fill_(bias)
    return attention


@pytest.mark.parametrize(("bias", "factor"), [(0.0, 1.5), (100.0, 2.0), (-100.0, 1.0)])
def test_gate_lies_between_one_and_two(bias: float, factor: float) -> None:
    maps = torch.randn(1, 3, 4, 5)
    torch.testing.assert_close(gate_with_last_norm(0.0, bias)(maps), maps * factor)


def test_floor_and_ceiling_bound_the_gate() -> None:
    maps = torch.randn(1, 3, 4, 5)
    torch.testing.assert_close(gate_with_last_norm(0.0, 100.0, floor=0.5, ceiling=3.0)(maps), maps * 3.0)
    torch.testing.assert_close(gate_with_last_norm(0.0, -100.0, floor=0.5, ceiling=3.0)(maps), maps * 0.5)


def test_gate_sees_each_pixel_alone() -> None:
    attention = SpatialAttention((3, 2, 1)).eval()
    maps = torch.randn(1, 3, 4, 5)
    changed = maps.clone()
    changed[0, :, 2, 3] += 1.0
    difference = (attention.gate(changed) - attention.gate(maps)).abs()[0, 0]
    assert difference[2, 3] > 0
    assert difference.count_nonzero() == 1


def test_no_gradient_reaches_the_input_through_the_gate() -> None:
    attention = SpatialAttention((3, 2, 1)).eval()
    maps = torch.randn(1, 3, 4, 5, requires_grad=True)
    attention(maps).sum().backward()
    torch.testing.assert_close(maps.grad, attention.gate(maps).expand_as(maps).detach())


def test_gradient_through_the_gate_can_be_switched_on() -> None:
    attention = SpatialAttention((3, 2, 1), gradient_through_gate=True).eval()
    maps = torch.randn(1, 3, 4, 5, requires_grad=True)
    attention(maps).sum().backward()
    assert (maps.grad - attention.gate(maps).detach()).abs().max() > 1e-4
