"""What every method owes: one suite that each inherits by its line in METHODS."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from quick import quick_config

from agsgtl.config import HYPERPARAMETERS, Value
from agsgtl.data.labels import draw_labels
from agsgtl.data.pairing import DomainPair
from agsgtl.errors import UserError
from agsgtl.models.networks import build_segmenter
from agsgtl.training.inputs import TrainingInputs, normalised_cubes, training_inputs
from agsgtl.training.methods import METHODS, method
from agsgtl.training.training import Training

pytestmark = pytest.mark.parametrize("name", METHODS)


@pytest.fixture(scope="module")
def inputs(tiny_pair: DomainPair) -> TrainingInputs:
    return training_inputs(*normalised_cubes(tiny_pair, "per_domain", "cpu"), draw_labels(tiny_pair, 3, 3, 0), 3)


VIEWS = {"adapt__orientation": "random", "adapt__pooling_grid": "random", "adapt__discriminator_view": "random"}


def start(name: str, inputs: TrainingInputs, seed: int = 0, **settings: Value) -> Training:
    config = quick_config(**{"loss__entropy": 0.1, **VIEWS, **settings})
    source = build_segmenter(config, inputs.bands, inputs.classes, seed=1).state_dict()
    return METHODS[name].start(config, inputs, source if METHODS[name].needs_source_model else {}, seed)


def train(training: Training, first: int, last: int) -> None:
    for epoch in range(first, min(last, training.epochs) + 1):
        training.train_epoch(epoch)


def test_logits_cover_both_scenes(name: str, inputs: TrainingInputs) -> None:
    training = start(name, inputs)
    assert training.target_logits().shape == (1, 3, *inputs.target_cube.shape[2:])
    assert training.source_logits().shape == (1, 3, *inputs.source_cube.shape[2:])
    assert not training.target_logits().requires_grad


def test_the_same_seed_gives_the_same_bits(name: str, inputs: TrainingInputs) -> None:
    one, two = start(name, inputs), start(name, inputs)
    for training in (one, two):
        train(training, 1, 2)
    assert torch.equal(one.target_logits(), two.target_logits())


def other(path: str) -> Value:
    """A legal value that is not the default."""
    known = HYPERPARAMETERS[path]
    if known.choices:
        return next(choice for choice in known.choices if choice != known.default)
    moved = known.default + 1 if known.type is int else float(known.default) * 0.5 + 0.125
    return known.type(moved)


def test_what_it_does_not_read_changes_no_bit(name: str, inputs: TrainingInputs) -> None:
    unread = set(HYPERPARAMETERS) - METHODS[name].reads - {"model.family"}  # another family has other widths
    one, two = start(name, inputs), start(name, inputs, **{path.replace(".", "__"): other(path) for path in unread})
    for training in (one, two):
        train(training, 1, 2)
    assert torch.equal(one.target_logits(), two.target_logits())


def test_a_state_goes_on_to_the_same_bits(name: str, inputs: TrainingInputs) -> None:
    straight, stopped, resumed = start(name, inputs), start(name, inputs), start(name, inputs)
    train(straight, 1, 4)
    train(stopped, 1, 2)
    resumed.load_state({key: value.clone() for key, value in stopped.state().items()})
    train(resumed, 3, 4)
    assert torch.equal(straight.target_logits(), resumed.target_logits())


def test_reduced_precision_ends_with_the_forward_passes(name: str, inputs: TrainingInputs) -> None:
    for settings in ({}, {"adapt__ema_decay": 0.5, "adapt__early_stop": "target_ce"}):
        training = start(name, inputs, runtime__precision="bfloat16", **settings)
        train(training, 1, 1)
        training.target_logits(), training.source_logits()
        assert not torch.is_autocast_enabled("cpu")


def test_a_state_goes_on_to_the_same_bits_in_bfloat16(name: str, inputs: TrainingInputs) -> None:
    straight, stopped, resumed = (start(name, inputs, runtime__precision="bfloat16") for _ in range(3))
    train(straight, 1, 2)
    straight.target_logits()
    train(straight, 3, 4)
    train(stopped, 1, 2)
    resumed.load_state({key: value.clone() for key, value in stopped.state().items()})
    train(resumed, 3, 4)
    assert torch.equal(straight.target_logits(), resumed.target_logits())


def test_weights_bring_back_the_logits(name: str, inputs: TrainingInputs) -> None:
    training = start(name, inputs)
    train(training, 1, 1)
    kept, logits = training.weights(), training.target_logits().clone()
    train(training, 2, 3)
    training.load_weights(kept)
    assert torch.equal(training.target_logits(), logits)


def test_validation_labels_do_not_train(name: str, inputs: TrainingInputs, tiny_pair: DomainPair) -> None:
    scrambled = np.random.default_rng(0).permutation(3)[inputs.target_validation.labels.numpy()]
    other = TrainingInputs(
        **{
            **vars(inputs),
            "target_validation": type(inputs.target_validation)(
                inputs.target_validation.pixels, torch.from_numpy(scrambled)
            ),
        }
    )
    one, two = start(name, inputs), start(name, other)
    for training in (one, two):
        train(training, 1, 2)
    assert torch.equal(one.target_logits(), two.target_logits())


def test_what_it_reads_are_hyperparameters(name: str) -> None:
    assert method(name, "test").reads <= set(HYPERPARAMETERS)
    assert "labels.per_class" in METHODS[name].reads


def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}x' is no method; did you mean '{name}'"):
        method(f"{name}x", "test")
