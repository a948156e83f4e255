"""Phase 1: a segmenter learns the source scene; kept once per source model, however many trials want it."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from agsgtl.config import Config, digest, flatten
from agsgtl.durable import exclusively, set_aside
from agsgtl.errors import Diverged, Interrupted, UserError
from agsgtl.models import folded
from agsgtl.models.networks import Segmenter, build_segmenter, placed
from agsgtl.seeds import Seeds, derive_seed
from agsgtl.training import TRAINER_VERSION, checkpoint
from agsgtl.training.inputs import LabelledPixels, TrainingInputs
from agsgtl.training.losses import at_pixels, cross_entropy
from agsgtl.training.precision import autocast
from agsgtl.training.steps import Recordings, adam, stepped

_SETTINGS_THAT_MATTER = ("model.family", "model.width", "data.normalisation", "pretrain.", "runtime.")
"""The rest of the config never reaches the pre-training; the target's gate has two fixed widths."""


@dataclass(frozen=True)
class SourceModel:
    """Weights with the lowest validation loss and after the last epoch, and the losses of every epoch."""

    best: checkpoint.Tensors
    last: checkpoint.Tensors
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]


def never() -> bool:
    """Nobody asks for a stop."""
    return False


def pretrain(
    config: Config, inputs: TrainingInputs, segmenter: Segmenter, should_stop: Callable[[], bool] = never
) -> SourceModel:
    """Trains the segmenter on the source training labels, one step an epoch on the whole scene.

    After each step the validation loss is taken in eval mode; `best` has the lowest.

    Raises:
        Diverged: a loss is NaN or infinite.
        Interrupted: `should_stop` said so after an epoch; nothing is kept of the epochs before.
    """
    optimizer = adam(segmenter.parameters(), config.pretrain.learning_rate)
    best, lowest = checkpoint.snapshot(segmenter), math.inf
    train_losses, validation_losses = [], []

    def loss_on(labelled: LabelledPixels) -> Tensor:
        with autocast(config):
            logits = at_pixels(folded.logits(segmenter, inputs.source_cube), labelled.pixels)
        return cross_entropy(logits, labelled.labels)

    def train() -> Tensor:
        segmenter.train()
        return stepped(optimizer, loss_on(inputs.source_train))

    @torch.no_grad()
    def validate() -> Tensor:
        segmenter.eval()
        return loss_on(inputs.source_validation)

    recorded = [(step, Recordings(inputs.source_cube.device)) for step in (train, validate)]
    for epoch in range(1, config.pretrain.epochs + 1):
        train_loss, validation_loss = torch.stack([recordings.run(step) for step, recordings in recorded]).tolist()
        train_losses.append(train_loss)
        validation_losses.append(validation_loss)
        if not math.isfinite(train_losses[-1] + validation_losses[-1]):
            raise Diverged(f"pre-training: the loss is not finite in epoch {epoch}; lower pretrain.learning_rate")
        if validation_losses[-1] < lowest:
            best, lowest = checkpoint.snapshot(segmenter), validation_losses[-1]
        if epoch < config.pretrain.epochs and should_stop():
            raise Interrupted(f"pre-training: stopped after epoch {epoch}")
    return SourceModel(best, checkpoint.snapshot(segmenter), tuple(train_losses), tuple(validation_losses))


def source_model_key(config: Config, pair_fingerprint: str, seeds: Seeds) -> str:
    """Identifies a source model: pair, data, normalisation, split, settings, seeds, trainer version."""
    settings = {path: value for path, value in flatten(config).items() if path.startswith(_SETTINGS_THAT_MATTER)}
    return digest([settings, pair_fingerprint, seeds.model_dump(), TRAINER_VERSION])


def source_model_file(folder: Path, key: str) -> Path:
    """Where the source model of this key lies under `pretrained/`."""
    return folder / key / "model.safetensors"


def obtain_source_model(
    config: Config,
    inputs: TrainingInputs,
    seeds: Seeds,
    file: Path | None = None,
    should_stop: Callable[[], bool] = never,
) -> SourceModel:
    """The source model in `file`, or one trained now, and kept there; raises as `pretrain`."""
    kept = None if file is None else _kept(file)
    if kept is not None:
        return kept
    fresh = build_segmenter(config, inputs.bands, inputs.classes, derive_seed(seeds.init, "segmenter"))
    segmenter = placed(fresh, inputs.source_cube.device)
    model = pretrain(config, inputs, segmenter, should_stop)
    if file is not None:
        _save(model, file, seeds)
    return model


def _kept(file: Path) -> SourceModel | None:
    """The model that lies there; None where there is none, or a damaged one, which whoever comes first sets aside.

    Trials side by side meet the same damaged file: until one of them has the guard, another may have made the model again.
    """
    if not file.exists():
        return None
    with suppress(UserError):
        return _load(file)
    with exclusively(file.with_name(".model.guard")):
        if not file.exists():
            return None
        try:
            return _load(file)
        except UserError:
            set_aside(file)
            return None


def _save(model: SourceModel, file: Path, seeds: Seeds) -> None:
    tensors = checkpoint.prefixed("best", model.best) | checkpoint.prefixed("last", model.last)
    facts = {"seeds": seeds.model_dump(), "train_loss": model.train_loss, "validation_loss": model.validation_loss}
    checkpoint.save(file, tensors, facts)


def _load(file: Path) -> SourceModel:
    tensors, facts = checkpoint.load(file)
    best, last = checkpoint.under("best", tensors), checkpoint.under("last", tensors)
    return SourceModel(best, last, tuple(facts["train_loss"]), tuple(facts["validation_loss"]))
