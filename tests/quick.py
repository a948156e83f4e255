"""Settings that make a trial take a fraction of a second, for tests of everything but the numbers."""

from __future__ import annotations

from agsgtl.config import Config, Value, configure

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
