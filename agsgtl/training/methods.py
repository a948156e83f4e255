"""The methods by name: what each starts from.

A further method is one function here, or in a file of its own, a line in `METHODS`, and one in `reads.py`; the contract tests,
the sweep, the confirmation and the tables then know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agsgtl.config import Config
from agsgtl.errors import UserError, did_you_mean
from agsgtl.models.networks import Segmenter, build_discriminator, build_segmenter, placed
from agsgtl.reads import READS
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

    `is_fixed` methods are never tuned.
    """

    name: str
    start: Start
    needs_source_model: bool
    is_fixed: bool = False

    @property
    def reads(self) -> frozenset[str]:
        """The dotted paths of the hyperparameters that can change what this method gives."""
        return READS[self.name]


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


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("source_only", _source_only, needs_source_model=True),
        Method("target_only", _target_only, needs_source_model=False),
        Method("fine_tune", _fine_tune, needs_source_model=True),
        Method("source_and_target", _source_and_target, needs_source_model=True),
        Method("lda", _linear_discriminant, needs_source_model=False, is_fixed=True),
        Method("paper", _adversarial, needs_source_model=True, is_fixed=True),
        Method("agsgtl", _adversarial, needs_source_model=True),
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
