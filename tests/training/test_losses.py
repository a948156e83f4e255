from __future__ import annotations

import math

import pytest
import torch

from agsgtl.training.losses import all_target, at_pixels, cross_entropy, entropy, none_target, weighted_sum

LOGITS = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]])  # probabilities 1/8, 2/8, 5/8; the last is "target"


def test_at_pixels_counts_rows_first() -> None:
    maps = torch.arange(24.0).reshape(1, 2, 3, 4)  # channel 0 is 0..11 row by row, channel 1 is 12..23
    assert at_pixels(maps, torch.tensor([5, 0])).tolist() == [[5.0, 17.0], [0.0, 12.0]]


def test_cross_entropy_is_the_mean_of_minus_log_probability() -> None:
    two = torch.cat([LOGITS, LOGITS])
    assert cross_entropy(two, torch.tensor([0, 1])).item() == pytest.approx((math.log(8) + math.log(4)) / 2)


def test_discriminator_takes_pixels_for_target() -> None:
    assert all_target(LOGITS).item() == pytest.approx(-math.log(5 / 8))


def test_target_wants_its_pixels_not_to_be_taken_for_target() -> None:
    assert none_target(LOGITS).item() == pytest.approx(-math.log(1 - 5 / 8))


def test_none_target_stays_finite_where_the_discriminator_is_sure() -> None:
    assert none_target(torch.tensor([[0.0, 0.0, 1000.0]])).item() == pytest.approx(1000 - math.log(2))


def test_entropy_is_largest_for_equal_logits() -> None:
    assert entropy(torch.zeros(4, 3)).item() == pytest.approx(math.log(3))
    assert entropy(LOGITS).item() == pytest.approx(math.log(8) - (2 * math.log(2) + 5 * math.log(5)) / 8)


def test_weighted_sum_multiplies_each_term_once() -> None:
    value = torch.tensor(3.0, requires_grad=True)
    total = weighted_sum((0.5, lambda: value), (2.0, lambda: value * value))
    total.backward()
    assert (total.item(), value.grad.item()) == (19.5, 12.5)


def test_a_term_of_weight_zero_is_never_computed() -> None:
    def never() -> torch.Tensor:
        raise AssertionError("computed")

    assert weighted_sum((1.0, lambda: torch.tensor(2.0)), (0.0, never)).item() == 2.0
