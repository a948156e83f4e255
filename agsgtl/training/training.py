"""What every method is to a trial: a training of one draw of labels that goes an epoch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from agsgtl.training.checkpoint import Tensors
from agsgtl.training.inputs import TrainingInputs
from agsgtl.training.losses import at_pixels, cross_entropy

Losses = Mapping[str, Tensor | float]
"""Mean losses by name; a method may leave them on the device, and one transfer an epoch then brings them to the host."""


class Training(ABC):
    """One method on one draw of labels. `epochs` is how many it wants; 0 where there is nothing to iterate."""

    epochs: int

    def __init__(self, inputs: TrainingInputs, epochs: int) -> None:
        self.inputs = inputs
        self.epochs = epochs

    @abstractmethod
    def train_epoch(self, epoch: int) -> Losses:
        """Trains one epoch, counted from 1; the mean of each of its losses by name."""

    @abstractmethod
    def target_logits(self) -> Tensor:
        """The logits (1, K, H, W) of the target scene in inference: eval mode, no attention, no gradient."""

    def target_logits_at(self, pixels: Tensor) -> Tensor:
        """The same logits (m, K) at m pixels alone, row-major indices of the target scene."""
        return at_pixels(self.target_logits(), pixels)

    @abstractmethod
    def source_logits(self) -> Tensor:
        """The same of the source scene."""

    def source_logits_at(self, pixels: Tensor) -> Tensor:
        """The same of the source scene at m of its pixels alone, (m, K)."""
        return at_pixels(self.source_logits(), pixels)

    @abstractmethod
    def weights(self) -> Tensors:
        """A copy of what inference needs."""

    @abstractmethod
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Puts such a copy back."""

    def beside(self) -> Tensors:
        """A copy of the networks that train beside the one that infers, by their names; none in most methods."""
        return {}

    def state(self) -> Tensors:
        """Everything that going on from here to the same result needs, weights included."""
        return self.weights()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Puts such a state back."""
        self.load_weights(state)

    def has_converged(self) -> bool:
        """Whether the early stop that the config asks for is reached."""
        return False

    def target_cross_entropy(self) -> float:
        """Cross entropy of the own classifier on the target training pixels, in inference."""
        labelled = self.inputs.target_train
        with torch.no_grad():
            return cross_entropy(self.target_logits_at(labelled.pixels), labelled.labels).item()
