"""Selection rules: how good a model is, judged without any test label. Higher is better.

An epoch is judged on the device, and what its score is read off comes to the host with the losses, in one transfer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agsgtl.evaluation.metrics import macro_f1, summary


def confusion_counts(logits: Tensor, labels: Tensor) -> Tensor:
    """The confusion matrix (K, K) of logits (n, K) and classes (n,) from 0, on their device and without waiting for it.

    `bincount` would wait: it asks for the largest index first.
    """
    classes = logits.shape[1]
    pairs = labels * classes + logits.argmax(dim=1)
    return pairs.new_zeros(classes**2).scatter_add_(0, pairs, torch.ones_like(pairs)).reshape(classes, classes)


def negative_entropy(logits: Tensor) -> Tensor:
    """Minus the mean Shannon entropy, in nats, of the softmax of logits (n, K), a scalar: the rule `target_entropy`.

    Its optimum is one class everywhere, which is why it is refused where a loss term feeds on the same thing.
    """
    log_probabilities = logits.log_softmax(dim=1)
    return (log_probabilities.exp() * log_probabilities).sum(dim=1).mean()


def true_class_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean softmax probability of the true class, of logits (n, K) and classes (n,): the rule `target_probability`.

    One minus half the mean L1 distance between softmax and truth. Unlike the cross entropy it is bounded, so that one pixel
    that is wrong with confidence cannot decide; unlike the F1 of a few pixels it has no ties.
    """
    return logits.softmax(dim=1).gather(1, labels[:, None]).mean()


def score_of(judged: NDArray[np.float64]) -> float:
    """The score in what an epoch was judged by: a scalar itself, the macro F1 of a confusion matrix."""
    return macro_f1(judged.astype(np.int64)) if judged.ndim == 2 else float(judged)


def labelled_metrics(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Macro F1, balanced accuracy, mean IoU and overall accuracy of logits (n, K) against classes (n,) from 0."""
    return summary(confusion_counts(logits, labels).cpu().numpy())


def on_host(tensors: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    """Tensors of one device as float64 arrays of their shapes, brought over in one transfer."""
    together = torch.cat([tensor.detach().reshape(-1).double() for tensor in tensors]).cpu().numpy()
    parts = np.split(together, np.cumsum([tensor.numel() for tensor in tensors])[:-1])
    return [part.reshape(tuple(tensor.shape)) for part, tensor in zip(parts, tensors, strict=True)]
