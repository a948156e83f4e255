"""The loss terms: pure functions of logits and labels at the pixels that carry a loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def at_pixels(maps: Tensor, pixels: Tensor) -> Tensor:
    """The channels (n, C) of maps (1, C, H, W) at n pixels, given as row-major indices `row * W + column`.

    In float32 at least, whatever the maps were computed in: no loss or probability is taken in bfloat16.
    """
    rows = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]).index_select(0, pixels)
    return rows.float() if rows.dtype == torch.bfloat16 else rows


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of logits (n, C) and class indices (n,), counted from 0."""
    return functional.cross_entropy(logits, labels)


def all_target(logits: Tensor) -> Tensor:
    """Mean cross entropy of logits (n, K + 1) with class K + 1, "this is target", for every pixel."""
    return -logits.log_softmax(dim=1)[:, -1].mean()


def none_target(logits: Tensor) -> Tensor:
    """Mean of -log(1 - p(K + 1)) of logits (n, K + 1): the pixels belong to *some* class, whichever.

    The generator's side of the semi-supervised GAN (Salimans et al. 2016, section 5), in log-sum-exp form.
    """
    return (logits.logsumexp(dim=1) - logits[:, :-1].logsumexp(dim=1)).mean()


def entropy(logits: Tensor) -> Tensor:
    """Mean Shannon entropy, in nats, of the softmax of logits (n, K) (Grandvalet and Bengio 2004)."""
    log_probabilities = logits.log_softmax(dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1).mean()


def weighted_sum(*terms: tuple[float | Tensor, Callable[[], Tensor]]) -> Tensor:
    """The sum of weight times term over the terms whose weight is not 0; the others are never computed.

    A weight that changes from step to step is a tensor (), and its term is always computed.

    >>> weighted_sum((2.0, lambda: torch.tensor(3.0)), (0.0, lambda: torch.tensor(float("nan"))))
    tensor(6.)
    """
    return torch.stack([weight * term() for weight, term in terms if isinstance(weight, Tensor) or weight]).sum()
