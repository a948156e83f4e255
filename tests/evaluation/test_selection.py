"""The selection rules against their definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agsgtl.evaluation.selection import confusion_counts, negative_entropy, score_of, true_class_probability


def drawn(seed: int, pixels: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(pixels, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (pixels,), generator=generator)


@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(2, 8))
def test_the_probability_is_one_minus_half_the_l1_distance(seed: int, pixels: int, classes: int) -> None:
    logits, labels = drawn(seed, pixels, classes)
    truth = torch.nn.functional.one_hot(labels, classes)
    distance = (logits.softmax(dim=1) - truth).abs().sum(dim=1).mean()
    assert true_class_probability(logits, labels).item() == pytest.approx(1 - distance.item() / 2)


def test_the_probability_tells_apart_what_the_f1_ties() -> None:
    labels = torch.tensor([0, 1])
    unsure, sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[5.0, 0.0], [0.0, 5.0]])
    assert [score_of(confusion_counts(logits, labels).double().numpy()) for logits in (unsure, sure)] == [1.0, 1.0]
    assert true_class_probability(unsure, labels) < true_class_probability(sure, labels)


def test_one_pixel_wrong_with_confidence_costs_its_share_and_no_more() -> None:
    logits = torch.tensor([[100.0, 0.0], [100.0, 0.0], [100.0, 0.0], [100.0, 0.0]])
    assert true_class_probability(logits, torch.tensor([0, 0, 0, 1])).item() == pytest.approx(0.75)


def test_the_entropy_is_highest_where_the_classes_are_level() -> None:
    assert negative_entropy(torch.zeros(3, 4)).item() == pytest.approx(-torch.tensor(4.0).log().item())
    assert negative_entropy(torch.eye(4) * 1e3).item() == pytest.approx(0.0)
