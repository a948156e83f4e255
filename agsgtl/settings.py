"""Every hyperparameter, once: path, type, default, legal range, meaning, source.

A hyperparameter is spelled by its dotted path everywhere: here, in YAML, after `--set`, as a column of the record.
The defaults are the authors' for Houston (Yaghmour, Prasad, Crawford, IEEE JSTARS 17, 2024,
doi:10.1109/JSTARS.2024.3485528, and their public code), with every added loss term off; but for `data.normalisation` and
`labels.per_class` (theirs: none, and 9), which all methods of a table share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Value = bool | int | float | str
"""What a hyperparameter can be."""

_AUTHORS = "Yaghmour et al. 2024, authors' code"
_OURS = "agsgtl"


def _setting(default: Value, meaning: str, source: str, low: float | None = None, high: float | None = None) -> Any:
    return Field(default, description=meaning, ge=low, le=high, json_schema_extra={"source": source})


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class ModelSettings(_Group):
    """The networks."""

    family: Literal["shallow", "depthwise"] = _setting(
        "shallow", "network family: shallow (Houston, Botswana) or depthwise (C2Seg-AB)", _AUTHORS
    )
    width: int = _setting(16, "feature channels f of the segmenter; depthwise: a multiple of 21", _AUTHORS, 1, 1024)
    discriminator_width: int = _setting(
        32, "channels f of the discriminator; depthwise: equals model.width", _AUTHORS, 1, 1024
    )

    @model_validator(mode="after")
    def _groups_must_divide(self) -> Self:
        if self.family == "depthwise" and (self.width % 21 or self.discriminator_width != self.width):
            raise ValueError(
                "with model.family depthwise, model.width must be a multiple of 21 and model.discriminator_width equal "
                f"to it, got {self.width} and {self.discriminator_width}; the authors' are 42 and 42"
            )
        return self


class DataSettings(_Group):
    """What happens to a cube before a network sees it."""

    normalisation: Literal["per_domain", "source", "none", "authors"] = _setting(
        "per_domain",
        "per-band z-score with each domain's own statistics, with the source's for both, none, or as the authors' code "
        "does for this pair; fitted on all pixels, never on labels",
        _OURS,
    )


class LabelSettings(_Group):
    """How many target pixels a method may know."""

    per_class: int = _setting(10, "k: labelled target training pixels a class", _AUTHORS, 1, 10_000)
    validation_per_class: int = _setting(
        5, "v: target validation pixels a class, disjoint from the k", _OURS, 0, 10_000
    )


class PretrainSettings(_Group):
    """Phase 1: the source segmenter."""

    epochs: int = _setting(200, "epochs of one step on the whole source scene", _AUTHORS, 1, 100_000)
    learning_rate: float = _setting(1e-3, "Adam's rate", _AUTHORS, 1e-7, 1.0)


class AdaptSettings(_Group):
    """Phase 2: the schedule of the adaptation; the baselines read the parts that apply to them."""

    epochs: int = _setting(200, "epochs of the adaptation; a pre-trained baseline trains as long", _AUTHORS, 1, 100_000)
    discriminator_steps: int = _setting(20, "discriminator steps an epoch", _AUTHORS, 1, 1000)
    target_steps: int = _setting(5, "target steps an epoch; the baselines' steps an epoch too", _AUTHORS, 1, 1000)
    target_learning_rate: float = _setting(1e-4, "Adam's rate of the target segmenter", _AUTHORS, 1e-7, 1.0)
    discriminator_learning_rate: float = _setting(1e-3, "Adam's rate of the discriminator", _AUTHORS, 1e-7, 1.0)
    train_classifier: bool = _setting(False, "train the target's classifier (final_layer) too", _AUTHORS)
    unlabelled_pixels: int = _setting(
        1000,
        "unlabelled target pixels drawn afresh each epoch for loss.entropy and loss.unlabelled_adversarial",
        _OURS,
        1,
        10_000_000,
    )
    extent: Literal["scene", "windows"] = _setting(
        "scene",
        "what a step computes: whole scenes, or windows around the labelled pixels as wide as the networks see; windows "
        "change the statistics of the batch norms, and the unlabelled pixels are drawn in them; the selection rule target_entropy "
        "reads the whole scene all the same",
        _OURS,
    )
    source_pixels_per_class: int = _setting(
        50, "labelled source pixels a class drawn afresh each epoch with adapt.extent windows", _OURS, 1, 10_000_000
    )
    orientation: Literal["fixed", "random"] = _setting(
        "fixed",
        "each step of the adaptation or of a baseline sees the scene as it lies, or in one of its eight orientations (turns and "
        "mirror images), drawn anew",
        "Cohen and Welling 2016, Group Equivariant Convolutional Networks, section 4.2",
    )
    pooling_grid: Literal["fixed", "random"] = _setting(
        "fixed",
        "each step of the adaptation or of a baseline pools from the scene's first row and column on, or from up to a cell of the last "
        "pooling ahead of them (3 rows and columns; depthwise 15), drawn anew",
        "Zhang 2019, Making Convolutional Networks Shift-Invariant Again",
    )
    adversarial_schedule: Literal["constant", "decay"] = _setting(
        "constant",
        "the weight of the target's adversarial term: loss.adversarial, or falling in a line from twice that to nearly 0, with the same "
        "mean over all of adapt.epochs; a training that stops early has seen the heavier part",
        _OURS,
    )
    discriminator_view: Literal["fixed", "random"] = _setting(
        "fixed",
        "which view of the target's features an epoch's discriminator steps see: the scene as it lies, or one drawn as those of "
        "the target's steps are",
        _OURS,
    )
    ema_decay: float = _setting(
        0.0,
        "what is judged and kept is the exponential moving average of the weights over the steps, with this decay; 0: the "
        "weights themselves",
        "Tarvainen and Valpola 2017, Mean teachers are better role models, section 2",
        0.0,
        0.9999,
    )
    keep: Literal["last", "best_validation", "lowest_target_ce"] = _setting(
        "last",
        "the epoch whose weights and score count: the last; the best by the selection rule's validation score; the "
        "lowest cross entropy on the target training pixels (C2Seg-AB)",
        _AUTHORS,
    )
    early_stop: Literal["losses", "target_ce", "none"] = _setting(
        "losses",
        "stop when both mean losses are low (Houston, Botswana), when the target's cross entropy is (C2Seg-AB), or never",
        _AUTHORS,
    )
    early_stop_patience: int = _setting(15, "epochs in a row that must be low", _AUTHORS, 1, 100_000)
    early_stop_discriminator_loss: float = _setting(
        5e-5, "an epoch's mean discriminator loss, its terms weighted, is low up to this", _AUTHORS, 0.0
    )
    early_stop_target_loss: float = _setting(
        0.05, "an epoch's mean target loss, its terms weighted, is low up to this", _AUTHORS, 0.0
    )
    early_stop_target_ce: float = _setting(
        1.0, "the target's cross entropy on its training pixels is low below this", _AUTHORS, 0.0
    )

    @model_validator(mode="after")
    def _views_to_draw(self) -> Self:
        if self.discriminator_view == "random" and self.orientation == self.pooling_grid == "fixed":
            raise ValueError(
                "adapt.discriminator_view random needs adapt.orientation or adapt.pooling_grid random, or there is one view "
                "only; set one of them, or leave adapt.discriminator_view fixed"
            )
        return self


_TERMS = {
    "discriminator": ("discriminator_source", "discriminator_target", "unlabelled_adversarial"),
    "target": ("adversarial", "target_segmentation", "entropy", "unlabelled_adversarial"),
}
"""The terms of either network's loss, as `training/adapt.py` sums them."""


class LossSettings(_Group):
    """The weight of every loss term; 0 switches a term off and spares what it alone costs.

    With `discriminator_source` at 0 the source passes through the discriminator all the same: its batch norms take their
    statistics over both domains.
    Where `adversarial` and `unlabelled_adversarial` are both 0, the target learns nothing of the discriminator, whose own
    steps run all the same: their loss is recorded, and `adapt.early_stop: losses` reads it.
    """

    discriminator_source: float = _setting(1.0, "discriminator: source pixels are their class", _AUTHORS, 0.0, 1e4)
    discriminator_target: float = _setting(
        1.0, "discriminator: labelled target pixels are class K+1", _AUTHORS, 0.0, 1e4
    )
    adversarial: float = _setting(
        1.0, "target: the discriminator takes labelled target pixels for their class", _AUTHORS, 0.0, 1e4
    )
    target_segmentation: float = _setting(
        0.0, "target: cross entropy of its own classifier on the labelled pixels", _OURS, 0.0, 1e4
    )
    entropy: float = _setting(
        0.0,
        "target: entropy of its own classifier at unlabelled pixels",
        "Grandvalet and Bengio 2004, Semi-supervised Learning by Entropy Minimization",
        0.0,
        1e4,
    )
    unlabelled_adversarial: float = _setting(
        0.0,
        "discriminator: unlabelled target pixels are class K+1; target: they are not",
        "Salimans et al. 2016, Improved Techniques for Training GANs, section 5",
        0.0,
        1e4,
    )

    @model_validator(mode="after")
    def _every_step_has_a_loss(self) -> Self:
        for network, names in _TERMS.items():
            if not any(getattr(self, name) for name in names):
                raise ValueError(
                    f"one of {', '.join(f'loss.{name}' for name in names)} must be above 0, or the {network} has nothing to learn"
                )
        return self


class AttentionSettings(_Group):
    """The spatial gates `x * (floor + (ceiling - floor) * sigmoid(g(x)))`."""

    discriminator: bool = _setting(True, "gate the discriminator's logits of the target", _AUTHORS)
    hidden_1: int = _setting(100, "first hidden width of the discriminator's gate", _AUTHORS, 1, 4096)
    hidden_2: int = _setting(50, "second hidden width of the discriminator's gate", _AUTHORS, 1, 4096)
    target: bool = _setting(False, "gate the target's features while it trains (shallow only)", _AUTHORS)
    gradient_through_gate: bool = _setting(False, "let gradients reach the gate's input through the gate", _AUTHORS)
    floor: float = _setting(1.0, "lowest value of a gate", _AUTHORS, 0.0, 100.0)
    ceiling: float = _setting(2.0, "highest value of a gate", _AUTHORS, 0.0, 100.0)

    @model_validator(mode="after")
    def _floor_below_ceiling(self) -> Self:
        if self.floor >= self.ceiling:
            raise ValueError(
                f"attention.floor must be below attention.ceiling, got {self.floor:g} and {self.ceiling:g}; the authors' are 1 and 2"
            )
        return self


class RuntimeSettings(_Group):
    """Where a trial computes; part of the config because 1 and 2 threads differ in the last bits."""

    threads: int = _setting(1, "CPU threads of a trial", _OURS, 1, 1024)
    device: Literal["cpu", "cuda"] = _setting(
        "cpu", "device of a trial; a missing GPU is an error, never a CPU instead", _OURS
    )
    precision: Literal["float32", "bfloat16"] = _setting(
        "float32",
        "number format of convolutions and matrix products; float32 is computed as such on a GPU too, never as TF32; bfloat16 is "
        "faster on devices that have it, and rounds (benchmarks/README.md)",
        _OURS,
    )


class Config(_Group):
    """All hyperparameters of one trial.

    >>> Config().adapt.target_learning_rate
    0.0001
    """

    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    labels: LabelSettings = LabelSettings()
    pretrain: PretrainSettings = PretrainSettings()
    adapt: AdaptSettings = AdaptSettings()
    loss: LossSettings = LossSettings()
    attention: AttentionSettings = AttentionSettings()
    runtime: RuntimeSettings = RuntimeSettings()

    @model_validator(mode="after")
    def _depthwise_has_no_target_attention(self) -> Self:
        if self.model.family == "depthwise" and self.attention.target:
            raise ValueError(
                "attention.target must be false with model.family depthwise: that segmenter has no attention"
            )
        return self


ADDED_LATER: Mapping[str, Value] = {
    "adapt.pooling_grid": "fixed",
    "adapt.discriminator_view": "fixed",
    "adapt.adversarial_schedule": "constant",
}
"""Hyperparameters that older records do not name, and what those ran with."""

HOUSTON: Mapping[str, Value] = {}
"""The authors' networks, losses and schedule for Houston are the defaults."""

AUTHORS_SETTINGS: Mapping[str, Mapping[str, Value]] = {
    "houston": HOUSTON,
    "botswana": {"adapt.epochs": 500},
    "c2seg_ab": {
        "model.family": "depthwise",
        "model.width": 42,
        "model.discriminator_width": 42,
        "adapt.epochs": 150,
        "adapt.early_stop": "target_ce",
        "adapt.keep": "lowest_target_ce",
    },
}
"""What `paper` runs with, by the name a pair declares; pairs that are not the authors' declare `houston`."""
