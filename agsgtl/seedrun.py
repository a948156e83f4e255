"""One seed of a trial under way: an epoch at a time, its selection score, and the weights that `adapt.keep` keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agsgtl.errors import Diverged
from agsgtl.evaluation.selection import (
    confusion_counts,
    labelled_metrics,
    negative_entropy,
    on_host,
    score_of,
    true_class_probability,
)
from agsgtl.reporting.record import READ_TARGET_LABELS, SeedOutcome, SelectionRule
from agsgtl.seeds import Seeds
from agsgtl.training import checkpoint
from agsgtl.training.checkpoint import Tensors
from agsgtl.training.losses import at_pixels
from agsgtl.training.training import Losses, Training


@dataclass
class SeedRun:
    """One seed of a trial under way: its training, its best score so far, and what `adapt.keep` keeps."""

    seeds: Seeds
    training: Training
    keep: str
    epochs: int = 0
    epoch: int = 0
    score: float = -math.inf
    best_score: float = -math.inf
    best_epoch: int = 0
    kept_value: float = -math.inf
    kept: Tensors = field(default_factory=dict)
    kept_beside: Tensors = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    latest_losses: dict[str, float] = field(default_factory=dict)

    def advance(self, epoch: int, select: SelectionRule) -> None:
        """Trains one epoch and judges it; raises Diverged where a loss or a logit that is judged is not finite."""
        losses, score = losses_and_score(self.training, self.training.train_epoch(epoch), select)
        if not all(math.isfinite(loss) for loss in losses.values()):
            raise Diverged(f"epoch {epoch}: a loss is not finite: {losses}")
        self.epochs, self.latest_losses = epoch, losses
        self.judge(epoch, losses, score)

    def judge_untrained(self, select: SelectionRule) -> None:
        """Takes the score of a training that has no epochs."""
        self.judge(0, *losses_and_score(self.training, {}, select))

    def judge(self, epoch: int, losses: Mapping[str, float], score: float) -> None:
        """Takes the epoch's selection score, and keeps its weights if `adapt.keep` wants them."""
        if not math.isfinite(score):
            raise Diverged(f"epoch {epoch}: the logits that are judged are not finite")
        if score > self.best_score:
            self.best_score, self.best_epoch = score, epoch
        value = self._value_to_keep(score, epoch)
        if not math.isfinite(value):
            raise Diverged(f"epoch {epoch}: the cross entropy on the target's training pixels is not finite")
        if value > self.kept_value:
            self.kept_value, self.epoch, self.score, self.losses = value, epoch, score, dict(losses)
            if self.keep != "last":
                self.kept, self.kept_beside = self.training.weights(), self.training.beside()

    def _value_to_keep(self, score: float, epoch: int) -> float:
        """The epoch with the highest of these is the one that counts."""
        if self.keep == "last":
            return float(epoch)
        return score if self.keep == "best_validation" else -self.training.target_cross_entropy()

    @property
    def is_finished(self) -> bool:
        """Whether all epochs ran or the early stop was reached."""
        return self.epochs >= self.training.epochs or self.training.has_converged()

    def outcome(self, select: SelectionRule) -> SeedOutcome:
        """What this seed gave, with the kept weights in place."""
        if self.kept:
            self.training.load_weights(self.kept)
        return SeedOutcome(
            seeds=self.seeds,
            score=self.score,
            epoch=self.epoch,
            epochs=self.epochs,
            best_score=self.best_score,
            best_epoch=self.best_epoch,
            validation=self._validation(),
            losses=self.losses,
        )

    def _validation(self) -> dict[str, float]:
        """The metrics on the target validation pixels, where there are any."""
        labelled = self.training.inputs.target_validation
        if not len(labelled.labels):
            return {}
        return labelled_metrics(self.training.target_logits_at(labelled.pixels), labelled.labels)

    def class_map(self) -> NDArray[np.uint8]:
        """The classes of the target scene, (height, width), 1..K, by the weights that are in place."""
        return (self.training.target_logits()[0].argmax(dim=0) + 1).to(torch.uint8).cpu().numpy()

    def kept_weights(self) -> Tensors:
        """The weights that count so far."""
        return self.kept or self.training.weights()

    def networks_beside(self) -> Tensors:
        """What trained beside those weights when they were kept."""
        return self.kept_beside if self.kept else self.training.beside()

    def tensors(self) -> Tensors:
        """The training's state and what is kept."""
        return {
            **checkpoint.prefixed("state", self.training.state()),
            **checkpoint.prefixed("kept", self.kept),
            **checkpoint.prefixed("kept_beside", self.kept_beside),
        }

    def facts(self) -> dict[str, Any]:
        """The rest of what going on needs, as JSON; infinities are spelled out."""
        names = ("epochs", "epoch", "score", "best_score", "best_epoch", "kept_value", "losses", "latest_losses")
        return {name: _without_infinity(getattr(self, name)) for name in names}

    def restore(self, tensors: Tensors, facts: Mapping[str, Any]) -> None:
        """Goes on from such tensors and facts."""
        self.training.load_state(checkpoint.under("state", tensors))
        self.kept, self.kept_beside = checkpoint.under("kept", tensors), checkpoint.under("kept_beside", tensors)
        for name, value in facts.items():
            setattr(self, name, _with_infinity(value))


def losses_and_score(training: Training, losses: Losses, select: SelectionRule) -> tuple[dict[str, float], float]:
    """An epoch's losses and its selection score as numbers; what of them is on a device comes to the host in one transfer."""
    logits, judged = judged_by(training, select)
    numbers = [torch.as_tensor(loss, dtype=torch.float64, device=judged.device) for loss in losses.values()]
    *on_this_side, are_finite, last = on_host([*numbers, logits.isfinite().all(), judged])
    score = score_of(last) if are_finite else math.nan  # NaN would be some class, and count
    return dict(zip(losses, (float(loss) for loss in on_this_side), strict=True)), score


def judged_by(training: Training, select: SelectionRule) -> tuple[Tensor, Tensor]:
    """The logits (n, K) by which a training as it stands is judged, and what its score is read off, on its device."""
    inputs = training.inputs
    if select in READ_TARGET_LABELS:
        labelled = inputs.target_validation
        logits = training.target_logits_at(labelled.pixels)
        read_off = confusion_counts if select == "target_validation" else true_class_probability
        return logits, read_off(logits, labelled.labels)
    if select == "source_validation":
        labelled = inputs.source_validation
        logits = training.source_logits_at(labelled.pixels)
        return logits, confusion_counts(logits, labelled.labels)
    logits = at_pixels(training.target_logits(), inputs.unlabelled)
    return logits, negative_entropy(logits)


def _without_infinity(value: Any) -> Any:
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _with_infinity(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value
