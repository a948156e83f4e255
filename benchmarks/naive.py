"""The baseline: the schedule of the method written down as one would at first, with no thought for speed.

Features are computed again in every step, the discriminator's steps run backwards into the target segmenter, losses are
dense with an ignored label, tensors lie in PyTorch's default memory format. It passes the golden traces like the trainer
that users run (`tests/training/test_parity.py`), so the two can be timed against each other as equals. Loss weights,
unlabelled terms and early stopping are left out: the authors have none in an epoch.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from agsgtl.config import Config
from agsgtl.models.networks import Discriminator, Network, Segmenter
from agsgtl.training.inputs import LabelledPixels, TrainingInputs

IGNORED = -100


class NaiveAdversarialTraining:
    """The adversarial adaptation, taking what `AdversarialTraining` takes."""

    def __init__(
        self,
        config: Config,
        inputs: TrainingInputs,
        source: Segmenter,
        target: Segmenter,
        discriminator: Discriminator,
        seed: int,
    ) -> None:
        self.config = config
        self.inputs = replace(
            inputs, source_cube=inputs.source_cube.contiguous(), target_cube=inputs.target_cube.contiguous()
        )
        self.source = _contiguous(source).eval()
        self.target = _contiguous(target)
        self.discriminator = _contiguous(discriminator)
        self.source_labels = dense(inputs.source_train, self.inputs.source_cube)
        self.target_labels = dense(inputs.target_train, self.inputs.target_cube)
        self.is_target = torch.where(self.target_labels == IGNORED, IGNORED, inputs.classes)
        trained = [weight for name, weight in target.named_parameters() if not name.startswith("classifier")]
        self.target_optimizer = torch.optim.Adam(trained, lr=config.adapt.target_learning_rate)
        self.discriminator_optimizer = torch.optim.Adam(
            discriminator.parameters(), lr=config.adapt.discriminator_learning_rate
        )

    def train_steps(self, epoch: int) -> tuple[Tensor, Tensor]:
        """One epoch's losses step by step."""
        adapt = self.config.adapt
        discriminator_losses = [self._discriminator_step() for _ in range(adapt.discriminator_steps)]
        target_losses = [self._target_step() for _ in range(adapt.target_steps)]
        return torch.tensor(discriminator_losses), torch.tensor(target_losses)

    def target_logits(self) -> Tensor:
        """Logits (1, K, H, W) of the target in inference."""
        with torch.no_grad():
            return self.target.eval()(self.inputs.target_cube)  # type: ignore[no-any-return]

    def _discriminator_step(self) -> float:
        self.target.eval()
        self.discriminator.train()
        self.discriminator_optimizer.zero_grad()
        loss = functional.cross_entropy(self._judged(), self.is_target, ignore_index=IGNORED)
        source_logits = self.discriminator(self.source.body(self.inputs.source_cube))
        loss = loss + functional.cross_entropy(source_logits, self.source_labels, ignore_index=IGNORED)
        loss.backward()
        self.discriminator_optimizer.step()
        return loss.item()

    def _target_step(self) -> float:
        self.target.train()
        self.discriminator.eval()
        self.target_optimizer.zero_grad()
        loss = functional.cross_entropy(self._judged(), self.target_labels, ignore_index=IGNORED)
        loss.backward()
        self.target_optimizer.step()
        return loss.item()

    def _judged(self) -> Tensor:
        """The discriminator's logits (1, K + 1, H, W) of the target, through the gates that are on."""
        features = self.target.body(self.inputs.target_cube)
        if self.config.attention.target:
            features = self.target.attended(features)
        logits = self.discriminator(features)
        return self.discriminator.attention(logits) if self.config.attention.discriminator else logits  # type: ignore[no-any-return]


def dense(labelled: LabelledPixels, cube: Tensor) -> Tensor:
    """A label image (1, H, W) of classes from 0, `IGNORED` where there is no label."""
    image = torch.full((cube.shape[-2] * cube.shape[-1],), IGNORED, device=cube.device)
    image[labelled.pixels] = labelled.labels
    return image.reshape(1, *cube.shape[-2:])


def _contiguous(network: Network) -> Network:
    return network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]
