"""Hand-computed metrics on a few pixels, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics

from agsgtl.evaluation.metrics import confusion_of, score_class_map, summary
from agsgtl.evaluation.selection import confusion_counts, negative_entropy, on_host, score_of

# Truth 1 1 1 2 2 3, predicted 1 1 2 2 2 2: class 3 is never predicted.
# F1: 2*2/(3+2) = .8; 2*2/(2+4) = 2/3; 0. Recall: 2/3, 1, 0. IoU: 2/3, 1/2, 0. Accuracy 4/6.
TRUTH = np.array([1, 1, 1, 2, 2, 3], dtype=np.uint8)
PREDICTED = np.array([1, 1, 2, 2, 2, 2], dtype=np.uint8)


def test_metrics_agree_with_hand_computed_ones_and_count_a_class_that_is_never_predicted() -> None:
    found = summary(confusion_of(PREDICTED, TRUTH, 3))
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3 + 0) / 3)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["mean_iou"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found["overall_accuracy"] == pytest.approx(4 / 6)


def test_pixels_outside_the_test_pool_do_not_count() -> None:
    labels = np.concatenate([TRUTH, [0, 0]]).astype(np.uint8).reshape(2, 4)
    class_map = np.concatenate([PREDICTED, [3, 3]]).astype(np.uint8).reshape(2, 4)
    scores = score_class_map(class_map, labels, ("a", "b", "c"))
    assert scores.test_pixels == 6
    assert scores.per_class_f1 == pytest.approx((0.8, 2 / 3, 0.0))
    assert scores.confusion_matrix == ((2, 1, 0), (0, 2, 0), (0, 1, 0))  # rows are the truth
    # Chance agreement: (3*2 + 2*4 + 1*0) / 36; kappa = (po - pe) / (1 - pe).
    assert scores.kappa == pytest.approx((4 / 6 - 14 / 36) / (1 - 14 / 36))


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        ([1, 2], [1, 2, 3], "one length"),
        ([], [], "at least one pixel"),
        ([1, 1], [1, 2], r"without: \[3\]"),
        ([1, 1, 4], [1, 2, 3], "predicted: class ids must lie in 1..3"),
        ([1, 1, 1], [1, 2, 0], "truth: class ids must lie in 1..3"),
    ],
)
def test_metrics_refuse_what_has_no_right_answer(predicted: list[int], truth: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        summary(confusion_of(np.array(predicted, dtype=np.uint8), np.array(truth, dtype=np.uint8), 3))


def test_a_class_map_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        score_class_map(np.ones((2, 3), np.uint8), np.ones((3, 2), np.uint8), ("a",))


@pytest.mark.parametrize("seed", range(20))
def test_every_metric_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 16))
    truth = np.concatenate([np.arange(1, classes + 1), rng.integers(1, classes + 1, 200)])
    predicted = np.where(
        rng.random(truth.size) < rng.random(), truth, rng.integers(1, 1 + rng.integers(1, classes + 1))
    )
    found = score_class_map(predicted[None], truth[None], tuple(map(str, range(classes))))
    average = {"labels": np.arange(1, classes + 1), "average": "macro", "zero_division": 0}
    assert found.macro_f1 == metrics.f1_score(truth, predicted, **average)  # to the last bit: it chooses the winners
    assert found.balanced_accuracy == pytest.approx(metrics.recall_score(truth, predicted, **average), abs=1e-15)
    assert found.mean_iou == pytest.approx(metrics.jaccard_score(truth, predicted, **average), abs=1e-15)
    assert found.overall_accuracy == metrics.accuracy_score(truth, predicted)
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(truth, predicted), abs=1e-12)
    assert np.array_equal(found.confusion_matrix, metrics.confusion_matrix(truth, predicted))


def test_kappa_of_a_single_class_is_one() -> None:
    ones = np.ones((2, 2), np.uint8)
    assert score_class_map(ones, ones, ("a",)).kappa == 1.0


def test_logits_are_counted_where_they_are_and_scored_as_scikit_learn_would() -> None:
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 5
    counts = confusion_counts(logits, labels)
    assert np.array_equal(counts, metrics.confusion_matrix(labels, logits.argmax(dim=1)))
    expected = metrics.f1_score(labels, logits.argmax(dim=1), average="macro", labels=range(5), zero_division=0)
    assert score_of(on_host([counts])[0]) == expected


def test_the_entropy_rule_scores_a_certain_model_higher() -> None:
    certain, uniform = torch.tensor([[50.0, 0.0]]), torch.zeros(1, 2)
    assert score_of(on_host([negative_entropy(certain)])[0]) == pytest.approx(0, abs=1e-9)
    assert score_of(on_host([negative_entropy(uniform)])[0]) == pytest.approx(-np.log(2))


def test_what_comes_to_the_host_together_keeps_its_values_and_shapes() -> None:
    loss, counts = torch.tensor(0.1, requires_grad=True), torch.arange(6).reshape(2, 3)
    first, second = on_host([loss, counts])
    assert first.shape == ()
    assert float(first) == loss.item()
    assert np.array_equal(second, counts)
