"""Hand-computed metrics on a few pixels, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from agsgtl.evaluation.metrics import score_class_map, validation_metrics

# Truth 1 1 1 2 2 3, predicted 1 1 2 2 2 2: class 3 is never predicted.
# F1: 2*2/(3+2) = .8; 2*2/(2+4) = 2/3; 0. Recall: 2/3, 1, 0. IoU: 2/3, 1/2, 0. Accuracy 4/6.
TRUTH = np.array([1, 1, 1, 2, 2, 3], dtype=np.uint8)
PREDICTED = np.array([1, 1, 2, 2, 2, 2], dtype=np.uint8)


def test_metrics_agree_with_hand_computed_ones_and_count_a_class_that_is_never_predicted() -> None:
    found = validation_metrics(PREDICTED, TRUTH, 3)
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
        validation_metrics(np.array(predicted, dtype=np.uint8), np.array(truth, dtype=np.uint8), 3)


def test_a_class_map_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        score_class_map(np.ones((2, 3), np.uint8), np.ones((3, 2), np.uint8), ("a",))
