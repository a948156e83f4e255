"""Which hyperparameters each method reads, in the order in which tables list the methods.

What a method does not read cannot change what it gives: search spaces refuse it, and tables take no notice of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agsgtl.config import HYPERPARAMETERS

AUTHORS_METHOD: Final = "authors"
"""The name under which weights that were imported stand in tables. It is no method: nothing here trains it."""

_EVERYWHERE: Final = ("data.", "labels.", "runtime.")
_NETWORK: Final = (*_EVERYWHERE, "model.family", "model.width")
_SUPERVISED: Final = (
    *_NETWORK,
    "adapt.epochs",
    "adapt.target_steps",
    "adapt.target_learning_rate",
    "adapt.keep",
    "adapt.extent",
    "adapt.orientation",
    "adapt.pooling_grid",
    "adapt.ema_decay",
)

_ADVERSARIAL: Final = (*_EVERYWHERE, "model.", "pretrain.", "adapt.", "loss.", "attention.")

_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "source_only": (*_NETWORK, "pretrain."),
    "target_only": _SUPERVISED,
    "fine_tune": (*_SUPERVISED, "pretrain."),
    "source_and_target": (*_SUPERVISED, "adapt.source_pixels_per_class", "pretrain."),
    "lda": _EVERYWHERE,
    "paper": _ADVERSARIAL,
    "agsgtl": _ADVERSARIAL,
}
"""Dotted paths, or groups of them as `group.`."""

READS: Final[Mapping[str, frozenset[str]]] = {
    method: frozenset(path for path in HYPERPARAMETERS if path.startswith(groups)) for method, groups in _GROUPS.items()
}
"""The dotted paths that can change what a method gives."""
