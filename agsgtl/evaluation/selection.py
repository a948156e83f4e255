"""Selection rules: how good a model is, judged without any test label. Higher is better."""

from __future__ import annotations

from torch import Tensor

from agsgtl.evaluation.metrics import validation_metrics


def labelled_macro_f1(logits: Tensor, labels: Tensor) -> float:
    """Macro F1 of logits (n, K) against classes (n,), counted from 0: the rules `target_validation`, `source_validation`."""
    return labelled_metrics(logits, labels)["macro_f1"]


def labelled_metrics(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Macro F1, balanced accuracy, mean IoU and overall accuracy of logits (n, K) against classes (n,) from 0."""
    predicted = logits.argmax(dim=1).cpu().numpy() + 1
    return validation_metrics(predicted, labels.cpu().numpy() + 1, logits.shape[1])


def negative_entropy(logits: Tensor) -> float:
    """Minus the mean Shannon entropy, in nats, of the softmax of logits (n, K): the rule `target_entropy`.

    Its optimum is one class everywhere, which is why it is refused where a loss term feeds on the same thing.
    """
    log_probabilities = logits.log_softmax(dim=1)
    return (log_probabilities.exp() * log_probabilities).sum(dim=1).mean().item()
