"""Classification metrics as fractions, always over the full list of classes, whichever of them were predicted.

scikit-learn is imported where it is used: it takes a second, which `agsgtl status` and a driver that resumes do without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agsgtl.evaluation.scores import Scores


def score_class_map(
    class_map: NDArray[np.uint8], test_labels: NDArray[np.uint8], class_names: tuple[str, ...]
) -> Scores:
    """What the test pool says of a class map.

    Args:
        class_map: predicted classes, (height, width), 1..K at every test pixel.
        test_labels: true classes, (height, width), 0 where a pixel is not in the test pool, else 1..K.
        class_names: the K names; class id i is `class_names[i - 1]`.

    Raises:
        ValueError: the shapes differ, no pixel is a test pixel, a class has no test pixel, or an id is not in 1..K.
    """
    from sklearn.metrics import confusion_matrix, f1_score

    if class_map.shape != test_labels.shape:
        raise ValueError(
            f"class map and test labels must have one shape, got {class_map.shape} and {test_labels.shape}"
        )
    tested = test_labels > 0
    truth, predicted = test_labels[tested], class_map[tested]
    summary = validation_metrics(predicted, truth, len(class_names))
    labels = np.arange(1, len(class_names) + 1)
    return Scores(
        class_names=tuple(class_names),
        test_pixels=int(truth.size),
        macro_f1=summary["macro_f1"],
        balanced_accuracy=summary["balanced_accuracy"],
        mean_iou=summary["mean_iou"],
        overall_accuracy=summary["overall_accuracy"],
        kappa=_kappa(truth, predicted, labels),
        per_class_f1=tuple(f1_score(truth, predicted, labels=labels, average=None, zero_division=0).tolist()),
        confusion_matrix=tuple(tuple(row) for row in confusion_matrix(truth, predicted, labels=labels).tolist()),
    )


def validation_metrics(predicted: NDArray[np.integer], truth: NDArray[np.integer], classes: int) -> dict[str, float]:
    """Macro F1, balanced accuracy (mean recall), mean IoU (Jaccard) and overall accuracy.

    Args:
        predicted: class ids, (pixels,), 1..classes.
        truth: class ids, (pixels,), 1..classes.
        classes: K, the number of classes that every average runs over.

    Raises:
        ValueError: the shapes differ, there is no pixel, a class has no true pixel, or an id is not in 1..classes.
    """
    from sklearn.metrics import accuracy_score, f1_score, jaccard_score, recall_score

    _check(predicted, truth, classes)
    labels = np.arange(1, classes + 1)
    return {
        "macro_f1": float(f1_score(truth, predicted, labels=labels, average="macro", zero_division=0)),
        "balanced_accuracy": float(recall_score(truth, predicted, labels=labels, average="macro", zero_division=0)),
        "mean_iou": float(jaccard_score(truth, predicted, labels=labels, average="macro", zero_division=0)),
        "overall_accuracy": float(accuracy_score(truth, predicted)),
    }


def _check(predicted: NDArray[np.integer], truth: NDArray[np.integer], classes: int) -> None:
    if predicted.shape != truth.shape or truth.ndim != 1:
        raise ValueError(f"predicted and truth must be vectors of one length, got {predicted.shape} and {truth.shape}")
    if truth.size == 0:
        raise ValueError("there must be at least one pixel to compare with, got none")
    for name, ids in (("predicted", predicted), ("truth", truth)):
        if ids.min() < 1 or ids.max() > classes:
            raise ValueError(f"{name}: class ids must lie in 1..{classes}, got {int(ids.min())}..{int(ids.max())}")
    missing = sorted(set(range(1, classes + 1)) - set(np.unique(truth).tolist()))
    if missing:
        raise ValueError(
            f"every class must have a true pixel, else no average over classes is defined; without: {missing}"
        )


def _kappa(truth: NDArray[np.integer], predicted: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    from sklearn.metrics import cohen_kappa_score

    # With one class only, chance agreement is 1 and kappa is 0/0; perfect agreement is then all there can be.
    return float(cohen_kappa_score(truth, predicted, labels=labels)) if labels.size > 1 else 1.0
