"""Settings that make a trial take a fraction of a second, for tests of everything but the numbers."""

from __future__ import annotations

from agsgtl.config import Config, Value, configure
from agsgtl.data.pairing import DomainPair
from agsgtl.reporting.record import Setup
from agsgtl.seeds import Seeds
from agsgtl.trial import debug_setup

QUICK: dict[str, Value] = {
    "model.width": 4,
    "model.discriminator_width": 4,
    "labels.per_class": 3,
    "labels.validation_per_class": 3,
    "pretrain.epochs": 3,
    "adapt.epochs": 4,
    "adapt.discriminator_steps": 2,
    "adapt.target_steps": 2,
    "adapt.target_learning_rate": 1e-3,
    "adapt.unlabelled_pixels": 20,
}


def quick_config(**overrides: Value) -> Config:
    """The quick settings with others in their place; a path's dot is spelled `__`."""
    return configure(QUICK, {name.replace("__", "."): value for name, value in overrides.items()}, origin="test")


def setup_of(pair: DomainPair, method: str = "agsgtl", **changes: object) -> Setup:
    """A trial of a method on seeds 0, judged by `target_validation`, with changes."""
    return debug_setup(pair, quick_config(), method, Seeds(labels=0, init=0), "target_validation").model_copy(
        update=changes
    )
