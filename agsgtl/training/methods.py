"""The methods by name: what each starts from, and which hyperparameters it reads.

A further method is one function here, or in a file of its own, and one line in `METHODS`; the contract tests, the
sweep, the confirmation and the tables then know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agsgtl.config import HYPERPARAMETERS, Config
from agsgtl.errors import UserError, did_you_mean
from agsgtl.models.networks import Segmenter, build_discriminator, build_segmenter, placed
from agsgtl.seeds import derive_seed
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.training.baselines import Domain, LinearDiscriminant, SupervisedTraining
from agsgtl.training.checkpoint import Tensors
from agsgtl.training.extent import SourceParts, target_part
from agsgtl.training.inputs import TrainingInputs
from agsgtl.training.training import Training

Start = Callable[[Config, TrainingInputs, Tensors, int], Training]
"""From config, inputs, the source model's weights (empty where the method has none) and the initialisation seed."""


@dataclass(frozen=True)
class Method:
    """A way to map the target scene.

    `groups` are the hyperparameters it reads, as dotted paths or as `group.`; what they leave out is refused in its
    search space. `is_fixed` methods are never tuned.
    """

    name: str
    start: Start
    needs_source_model: bool
    groups: tuple[str, ...]
    is_fixed: bool = False

    @property
    def reads(self) -> frozenset[str]:
        """The dotted paths of the hyperparameters that can change what this method gives."""
        return frozenset(path for path in HYPERPARAMETERS if path.startswith(self.groups))


def _source_only(config: Config, inputs: TrainingInputs, source: Tensors, seed: int) -> Training:
    return _supervised(config, inputs, _segmenter(config, inputs, seed, source), [], seed)


def _target_only(config: Config, inputs: TrainingInputs, source: Tensors, seed: int) -> Training:
    return _supervised(config, inputs, _segmenter(config, inputs, seed), [_target(config, inputs)], seed)


def _fine_tune(config: Config, inputs: TrainingInputs, source: Tensors, seed: int) -> Training:
    return _supervised(config, inputs, _segmenter(config, inputs, seed, source), [_target(config, inputs)], seed)


def _source_and_target(config: Config, inputs: TrainingInputs, source: Tensors, seed: int) -> Training:
    parts = SourceParts(config, inputs.source_train, "segmenter", derive_seed(seed, "source pixels"))
    domains = [lambda epoch: parts.of(inputs.source_cube, epoch), _target(config, inputs)]
    return _supervised(config, inputs, _segmenter(config, inputs, seed, source), domains, seed)


def _supervised(
    config: Config, inputs: TrainingInputs, segmenter: Segmenter, domains: Sequence[Domain], seed: int
) -> Training:
    return SupervisedTraining(config, inputs, segmenter, domains, derive_seed(seed, "orientation"))


def _target(config: Config, inputs: TrainingInputs) -> Domain:
    part = target_part(config, inputs, with_discriminator=False)
    return lambda epoch: part


def _linear_discriminant(config: Config, inputs: TrainingInputs, source: Tensors, seed: int) -> Training:
    return LinearDiscriminant(inputs)


def _adversarial(config: Config, inputs: TrainingInputs, source: Tensors, seed: int) -> Training:
    fresh = build_discriminator(config, inputs.classes, derive_seed(seed, "discriminator"))
    discriminator = placed(fresh, inputs.target_cube.device)
    frozen, target = _segmenter(config, inputs, seed, source), _segmenter(config, inputs, seed, source)
    return AdversarialTraining(config, inputs, frozen, target, discriminator, derive_seed(seed, "unlabelled"))


def _segmenter(config: Config, inputs: TrainingInputs, seed: int, weights: Tensors | None = None) -> Segmenter:
    segmenter = build_segmenter(config, inputs.bands, inputs.classes, derive_seed(seed, "segmenter"))
    if weights is not None:
        segmenter.load_state_dict(weights)
    return placed(segmenter, inputs.target_cube.device)


_EVERYWHERE = ("data.", "labels.", "runtime.")
_NETWORK = (*_EVERYWHERE, "model.family", "model.width")
_SUPERVISED = (
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
_ADVERSARIAL = (*_EVERYWHERE, "model.", "pretrain.", "adapt.", "loss.", "attention.")

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("source_only", _source_only, True, (*_NETWORK, "pretrain.")),
        Method("target_only", _target_only, False, _SUPERVISED),
        Method("fine_tune", _fine_tune, True, (*_SUPERVISED, "pretrain.")),
        Method(
            "source_and_target", _source_and_target, True, (*_SUPERVISED, "adapt.source_pixels_per_class", "pretrain.")
        ),
        Method("lda", _linear_discriminant, False, _EVERYWHERE, is_fixed=True),
        Method("paper", _adversarial, True, (*_EVERYWHERE, "model.", "adapt.epochs"), is_fixed=True),
        Method("agsgtl", _adversarial, True, _ADVERSARIAL),
    )
}


def method(name: str, origin: str) -> Method:
    """The method of a name.

    Raises:
        UserError: there is none; the closest one is named.
    """
    if name not in METHODS:
        raise UserError(f"{origin}: '{name}' is no method; {did_you_mean(name, METHODS)}")
    return METHODS[name]
