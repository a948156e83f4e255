"""Phase 2: the target segmenter against a multi-class discriminator (Yaghmour et al. 2024). The heart of the method.

What the arithmetic allows is used, and changes no loss value: the source's features are computed once a training, the
target's once a discriminator phase; a frozen network gets no gradient; losses see labelled pixels only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import final

import numpy as np
import torch
from torch import Tensor

from agsgtl.config import Config
from agsgtl.models import folded
from agsgtl.models.moments import Moments
from agsgtl.models.networks import Discriminator, Segmenter
from agsgtl.models.view import AS_IT_LIES, View
from agsgtl.seeds import derive_seed
from agsgtl.training.averaging import Averaged
from agsgtl.training.checkpoint import Tensors, load_optimizer_tensors, optimizer_tensors, prefixed, snapshot, under
from agsgtl.training.extent import Part, SourceParts, logits_in_windows, target_part
from agsgtl.training.inputs import TrainingInputs
from agsgtl.training.losses import all_target, at_pixels, cross_entropy, entropy, none_target, weighted_sum
from agsgtl.training.precision import autocast
from agsgtl.training.steps import Recordings, adam, stepped
from agsgtl.training.training import Losses, Training
from agsgtl.training.views import drawn_view


@final
class AdversarialTraining(Training):
    """Adapts `target`, a copy of `source`; `source` is frozen in eval mode and only its features are used.

    Args:
        config: every hyperparameter.
        inputs: cubes and labelled pixels.
        source: the pre-trained segmenter; changed by nothing here.
        target: a segmenter with the same weights; trained.
        discriminator: fresh; trained.
        seed: of the unlabelled pixels that each epoch draws, and of the views that its steps see.
    """

    def __init__(
        self,
        config: Config,
        inputs: TrainingInputs,
        source: Segmenter,
        target: Segmenter,
        discriminator: Discriminator,
        seed: int,
    ) -> None:
        super().__init__(inputs, config.adapt.epochs)
        self.config = config
        self.settings, self.loss, self.attention = config.adapt, config.loss, config.attention
        self.target, self.discriminator, self.seed = target, discriminator, seed
        target.classifier.requires_grad_(self.settings.train_classifier)
        self.averaged = Averaged(target, self.settings.ema_decay)
        trained = [parameter for parameter in target.parameters() if parameter.requires_grad]
        self.target_optimizer = adam(trained, self.settings.target_learning_rate)
        self.discriminator_optimizer = adam(discriminator.parameters(), self.settings.discriminator_learning_rate)
        device = inputs.target_cube.device
        self.discriminator_recordings, self.target_recordings = Recordings(device), Recordings(device)
        with torch.no_grad(), autocast(config):
            self.source_features = folded.features(source.eval().body, inputs.source_cube)
        self.source_parts = SourceParts(
            config, inputs.source_train, "discriminator", derive_seed(seed, "source pixels")
        )
        self.part = target_part(config, inputs, with_discriminator=True)
        self.source_part, self.source_patches = self._source_of(epoch=1)
        self.known_features: Tensor | None = None
        self.target_ce: list[float] = []
        self.low_epochs = torch.zeros((), dtype=torch.int64)

    def train_epoch(self, epoch: int) -> Losses:
        """One epoch: discriminator steps, then target steps; the mean losses L_D and L_T."""
        discriminator_losses, target_losses = self.train_steps(epoch)
        means = {"discriminator": discriminator_losses.mean(), "target": target_losses.mean()}
        self.low_epochs = self.low_epochs + 1 if self._is_low(means) else torch.zeros_like(self.low_epochs)
        return means

    def train_steps(self, epoch: int) -> tuple[Tensor, Tensor]:
        """One epoch's losses step by step, each from the forward pass before its own step."""
        unlabelled = self._draw_unlabelled(epoch)
        if self.settings.extent == "windows":
            self.source_part, self.source_patches = self._source_of(epoch)
        discriminator_losses = self._train_discriminator(unlabelled, self._features_to_judge(epoch))
        target_losses = self._train_target(unlabelled, epoch)
        return discriminator_losses, target_losses

    @property
    def target_features(self) -> Tensor:
        """The target's features in inference, computed once after its weights moved, and not before they are asked for."""
        if self.known_features is None:
            self.known_features = self._inference_features()
        return self.known_features

    def _forget_features(self) -> None:
        """Says that the target's weights have moved, or are about to: nobody reads the features that they gave."""
        self.known_features = None

    def _features_to_judge(self, epoch: int) -> Tensor:
        """The target's features that the epoch's discriminator steps see: a view of them in inference."""
        if self.settings.discriminator_view == "fixed":
            return self.target_features
        self._forget_features()
        return self._inference_features(drawn_view(self.config, derive_seed(self.seed, "discriminator"), epoch, 0))

    def _train_discriminator(self, unlabelled: Tensor, features: Tensor) -> Tensor:
        self.discriminator.train().requires_grad_(True)
        with (
            torch.no_grad(),
            autocast(self.config),
        ):  # the target and its gate in eval mode do not move during these steps
            features = self._gated_features(features)
            patches = folded.patches(self.discriminator, features)
        seen = (features, patches, self.source_part, self.source_patches, unlabelled)
        steps = range(self.settings.discriminator_steps)
        return torch.stack([self.discriminator_recordings.run(self._discriminator_step, *seen) for _ in steps])

    def _discriminator_step(
        self,
        target_features: Tensor,
        target_patches: Moments | None,
        source_part: Part,
        source_patches: Moments | None,
        unlabelled: Tensor,
    ) -> Tensor:
        """L_D: source pixels are their class, target pixels are class K+1. Target first: batch norms see that order."""
        labelled, source, weight = self.part.labelled, source_part.labelled, self.loss
        with autocast(self.config):
            discriminate = folded.composed(self.discriminator)
            target_logits = self._gated_logits(discriminate(target_features, target_patches))
            source_logits = discriminate(source_part.maps, source_patches)
        loss = weighted_sum(
            (weight.discriminator_target, lambda: all_target(at_pixels(target_logits, labelled.pixels))),
            (
                weight.discriminator_source,
                lambda: cross_entropy(at_pixels(source_logits, source.pixels), source.labels),
            ),
            (weight.unlabelled_adversarial, lambda: all_target(at_pixels(target_logits, unlabelled))),
        )
        return stepped(self.discriminator_optimizer, loss)

    def _train_target(self, unlabelled: Tensor, epoch: int) -> Tensor:
        self.discriminator.eval().requires_grad_(False)
        self._forget_features()
        self.target_ce = []
        seed, losses = derive_seed(self.seed, "orientation"), []
        weight = self.inputs.target_cube.new_full((), self.adversarial_weight(epoch)) if self.loss.adversarial else 0.0
        for step in range(self.settings.target_steps):
            seen = drawn_view(self.config, seed, epoch, step)
            losses.append(self.target_recordings.run(self._target_step, unlabelled, seen, weight))
            self._forget_features()
            self.averaged.update()
            if self._watches_target_ce():
                self.target_ce.append(super().target_cross_entropy())
        return torch.stack(losses)

    def adversarial_weight(self, epoch: int) -> float:
        """The weight of the target's adversarial term in an epoch, counted from 1; over all epochs its mean is `loss.adversarial`."""
        if self.settings.adversarial_schedule == "constant":
            return self.loss.adversarial
        return self.loss.adversarial * (2 * (self.epochs - epoch) + 1) / self.epochs

    def _target_step(self, unlabelled: Tensor, seen: View, adversarial: Tensor | float) -> Tensor:
        """L_T: the discriminator shall take labelled target pixels for their true class; that term's weight is `adversarial`."""
        labelled, weight = self.part.labelled, self.loss
        self.target.train()
        with autocast(self.config):
            features = folded.features(self.target.body, self.part.maps, seen)
            gated = self._gated_features(features)  # whoever reads it: the gate's batch norms take note of each step
        judged = cache(lambda: self._judged(gated))  # two terms read it, and where neither has a weight nobody does
        loss = weighted_sum(
            (adversarial, lambda: cross_entropy(at_pixels(judged(), labelled.pixels), labelled.labels)),
            (
                weight.target_segmentation,
                lambda: cross_entropy(self._classified(features, labelled.pixels), labelled.labels),
            ),
            (weight.entropy, lambda: entropy(self._classified(features, unlabelled))),
            (weight.unlabelled_adversarial, lambda: none_target(at_pixels(judged(), unlabelled))),
        )
        return stepped(self.target_optimizer, loss)

    def target_logits(self) -> Tensor:
        """Logits (1, K, H, W) of the target in inference, where possible from the features that the next epoch starts from."""
        with torch.no_grad(), autocast(self.config):
            if self.averaged.is_apart or self.part.maps is not self.inputs.target_cube:
                return folded.logits(self.averaged.judged.eval(), self.inputs.target_cube)
            return self.target.classifier(self.target_features)  # type: ignore[no-any-return]

    def target_logits_at(self, pixels: Tensor) -> Tensor:
        """The logits (m, K) at m pixels; with windows, from windows around these."""
        if self.settings.extent == "scene":
            return super().target_logits_at(pixels)
        return logits_in_windows(self.config, self.averaged.judged, self.inputs.target_cube, pixels)

    def source_logits(self) -> Tensor:
        """Logits (1, K, H, W) of the source scene by the target segmenter in inference."""
        with torch.no_grad(), autocast(self.config):
            return folded.logits(self.averaged.judged.eval(), self.inputs.source_cube)

    def source_logits_at(self, pixels: Tensor) -> Tensor:
        """The same of the source scene at m of its pixels; with windows, from windows around these."""
        if self.settings.extent == "scene":
            return super().source_logits_at(pixels)
        return logits_in_windows(self.config, self.averaged.judged, self.inputs.source_cube, pixels)

    def has_converged(self) -> bool:
        """Whether the early stop's losses were low for `adapt.early_stop_patience` epochs in a row."""
        return self.low_epochs.item() >= self.settings.early_stop_patience

    def target_cross_entropy(self) -> float:
        """Mean over the values after each target step of the last epoch, as the authors keep C2Seg-AB's model."""
        return float(np.mean(self.target_ce)) if self.target_ce else super().target_cross_entropy()

    def weights(self) -> Tensors:
        """A copy of the target segmenter's weights, averaged where they are."""
        return snapshot(self.averaged.judged)

    def beside(self) -> Tensors:
        """A copy of the discriminator, whose gate is the attention map of these weights."""
        return prefixed("discriminator", snapshot(self.discriminator))

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Gives the target segmenter, the averaged one where there is one, such weights."""
        self.averaged.judged.load_state_dict(dict(weights))
        self._forget_features()

    def state(self) -> Tensors:
        """Both networks, both optimisers, and how long the losses have been low."""
        return {
            **prefixed("target", self.averaged.state()),
            **prefixed("discriminator", snapshot(self.discriminator)),
            **prefixed("target_optimizer", optimizer_tensors(self.target_optimizer)),
            **prefixed("discriminator_optimizer", optimizer_tensors(self.discriminator_optimizer)),
            "low_epochs": self.low_epochs,
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from such a state; the draws of pixels depend on the epoch alone and need none."""
        self.discriminator.load_state_dict(under("discriminator", state))
        load_optimizer_tensors(self.target_optimizer, under("target_optimizer", state))
        load_optimizer_tensors(self.discriminator_optimizer, under("discriminator_optimizer", state))
        self.discriminator_recordings.forget()
        self.target_recordings.forget()
        self.low_epochs = state["low_epochs"].clone()
        self.averaged.load_state(under("target", state))
        self._forget_features()

    def _judged(self, gated: Tensor) -> Tensor:
        """What the discriminator says of the target's features."""
        with autocast(self.config):
            return self._gated_logits(folded.logits(self.discriminator, gated))

    def _gated_features(self, features: Tensor) -> Tensor:
        if not self.attention.target:
            return features
        assert self.target.attention is not None  # the config refuses it for the family without one
        return folded.attended(self.target.attention, features)

    def _gated_logits(self, logits: Tensor) -> Tensor:
        return folded.attended(self.discriminator.attention, logits) if self.attention.discriminator else logits

    def _classified(self, features: Tensor, pixels: Tensor) -> Tensor:
        """Logits (n, K) of the target's own classifier, computed at the n pixels alone."""
        rows = at_pixels(features, pixels)
        return self.target.classifier(rows.T[None, :, :, None])[0, :, :, 0].T  # type: ignore[no-any-return]  # in float32

    def _inference_features(self, seen: View = AS_IT_LIES) -> Tensor:
        with torch.no_grad(), autocast(self.config):
            return folded.features(self.target.eval().body, self.part.maps, seen)

    def _source_of(self, epoch: int) -> tuple[Part, Moments | None]:
        """The epoch's part of the source's features, and what the discriminator wants to know of them."""
        part = self.source_parts.of(self.source_features, epoch)
        with torch.no_grad(), autocast(self.config):
            return part, folded.patches(self.discriminator, part.maps)

    def _draw_unlabelled(self, epoch: int) -> Tensor:
        pool = self.part.unlabelled
        if not (self.loss.entropy or self.loss.unlabelled_adversarial):
            return pool[:0]
        count = min(self.settings.unlabelled_pixels, len(pool))
        drawn = np.random.default_rng([self.seed, epoch]).choice(len(pool), count, replace=False)
        return pool[torch.from_numpy(drawn).to(pool.device)]

    def _watches_target_ce(self) -> bool:
        return self.settings.early_stop == "target_ce" or self.settings.keep == "lowest_target_ce"

    def _is_low(self, means: Mapping[str, Tensor]) -> bool:
        settings = self.settings
        if settings.early_stop == "losses":
            discriminator_is_low = means["discriminator"].item() <= settings.early_stop_discriminator_loss
            return discriminator_is_low and means["target"].item() <= settings.early_stop_target_loss
        return settings.early_stop == "target_ce" and self.target_cross_entropy() < settings.early_stop_target_ce
