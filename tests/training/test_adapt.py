from __future__ import annotations

from unittest import mock

import pytest
import torch
from quick import quick_config

from agsgtl.data.labels import draw_labels
from agsgtl.data.pairing import DomainPair
from agsgtl.models import folded
from agsgtl.models.networks import build_segmenter
from agsgtl.seeds import derive_seed
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.training.inputs import TrainingInputs, normalised_cubes, training_inputs
from agsgtl.training.methods import METHODS


@pytest.fixture(scope="module")
def inputs(tiny_pair: DomainPair) -> TrainingInputs:
    return training_inputs(*normalised_cubes(tiny_pair, "per_domain", "cpu"), draw_labels(tiny_pair, 3, 3, 0), 3)


def start(inputs: TrainingInputs, **overrides: object) -> AdversarialTraining:
    config = quick_config(adapt__early_stop="none", **overrides)
    source = build_segmenter(config, inputs.bands, inputs.classes, derive_seed(0, "segmenter")).state_dict()
    return METHODS["agsgtl"].start(config, inputs, source, 0)


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def test_discriminator_steps_leave_the_target_alone(inputs: TrainingInputs) -> None:
    training = start(inputs)
    before = {name: value.clone() for name, value in training.target.state_dict().items()}
    training._train_discriminator(torch.arange(0), training._features_to_judge(epoch=1))
    assert all(torch.equal(before[name], value) for name, value in training.target.state_dict().items())


def test_features_in_inference_are_computed_once_and_only_where_they_are_read(inputs: TrainingInputs) -> None:
    views = {"adapt__orientation": "random", "adapt__discriminator_view": "random", "adapt__ema_decay": 0.5}
    for settings, expected in (({}, 2), (views, 1)):
        training, calls = start(inputs, **settings), []
        compute = training._inference_features
        training._inference_features = lambda *seen, c=compute, n=calls: (n.append(seen), c(*seen))[1]  # type: ignore[method-assign]
        training.train_epoch(1)
        training.target_logits()
        assert len(calls) == expected


def test_target_steps_leave_the_discriminator_alone(inputs: TrainingInputs) -> None:
    training = start(inputs)
    before = {name: value.clone() for name, value in training.discriminator.state_dict().items()}
    training._train_target(torch.arange(0), epoch=1)
    assert all(torch.equal(before[name], value) for name, value in training.discriminator.state_dict().items())


@pytest.mark.parametrize("is_trained", [False, True])
def test_the_classifier_trains_only_where_asked(inputs: TrainingInputs, is_trained: bool) -> None:
    training = start(inputs, adapt__train_classifier=is_trained, loss__target_segmentation=1.0)
    before = weights(training.target)
    training.train_epoch(1)
    after = weights(training.target)
    assert torch.equal(before["classifier.weight"], after["classifier.weight"]) is not is_trained
    assert not torch.equal(before["body.encoder1.enc1conv1.weight"], after["body.encoder1.enc1conv1.weight"])


def test_target_attention_trains_only_where_it_is_on(inputs: TrainingInputs) -> None:
    for is_on in (False, True):
        training = start(inputs, attention__target=is_on)
        before = weights(training.target)
        training.train_epoch(1)
        assert (
            torch.equal(before["attention.Liner1.weight"], weights(training.target)["attention.Liner1.weight"])
            is not is_on
        )


@pytest.mark.parametrize(
    "term",
    [
        "adversarial",
        "target_segmentation",
        "entropy",
        "unlabelled_adversarial",
        "discriminator_source",
        "discriminator_target",
    ],
)
def test_every_loss_weight_changes_the_result(inputs: TrainingInputs, term: str) -> None:
    plain, weighted = start(inputs), start(inputs, **{f"loss__{term}": 3.0})
    for training in (plain, weighted):
        training.train_epoch(1)
    assert not torch.equal(plain.target_logits(), weighted.target_logits())


def test_target_loss_is_the_weighted_sum_of_its_terms(inputs: TrainingInputs) -> None:
    names = ("adversarial", "target_segmentation", "entropy", "unlabelled_adversarial")
    factors = (2.0, 3.0, 5.0, 7.0)

    def first_target_loss(**chosen: float) -> float:
        settings = dict.fromkeys((f"loss__{name}" for name in names), 0.0) | {
            f"loss__{name}": w for name, w in chosen.items()
        }
        training = start(inputs, adapt__target_steps=1, **settings)
        return training._train_target(training.inputs.unlabelled[:20], epoch=1).item()

    parts = [first_target_loss(**{name: 1.0}) for name in names]
    total = first_target_loss(**dict(zip(names, factors, strict=True)))
    assert total == pytest.approx(sum(f * part for f, part in zip(factors, parts, strict=True)), rel=1e-5)


def test_a_decaying_adversarial_weight_falls_in_a_line_and_has_the_same_mean(inputs: TrainingInputs) -> None:
    settings = {"adapt__epochs": 4, "adapt__target_steps": 1, "loss__adversarial": 3.0}
    constant = start(inputs, **settings)
    decaying = start(inputs, adapt__adversarial_schedule="decay", **settings)
    assert [constant.adversarial_weight(epoch) for epoch in range(1, 5)] == [3.0] * 4
    assert [decaying.adversarial_weight(epoch) for epoch in range(1, 5)] == [5.25, 3.75, 2.25, 0.75]
    losses = [training._train_target(inputs.unlabelled[:0], epoch=1).item() for training in (constant, decaying)]
    assert losses[1] == pytest.approx(losses[0] * 5.25 / 3.0)


@pytest.mark.parametrize(
    ("weights", "passes"),
    [
        ({"loss__adversarial": 0.0}, 0),
        ({"loss__adversarial": 0.0, "loss__unlabelled_adversarial": 1.0}, 1),
        ({"loss__unlabelled_adversarial": 1.0}, 1),
    ],
)
def test_the_discriminator_judges_a_target_step_once_and_only_where_a_term_asks(
    inputs: TrainingInputs, weights: dict[str, float], passes: int
) -> None:
    training = start(inputs, adapt__target_steps=1, loss__target_segmentation=1.0, **weights)
    with mock.patch.object(folded, "logits", wraps=folded.logits) as judge:
        training._train_target(inputs.unlabelled[:20], epoch=1)
    assert judge.call_count == passes


def test_unlabelled_pixels_are_drawn_afresh_each_epoch_and_never_labelled_ones(inputs: TrainingInputs) -> None:
    training = start(inputs, loss__entropy=1.0, adapt__unlabelled_pixels=30)
    first, second = training._draw_unlabelled(1), training._draw_unlabelled(2)
    assert not torch.equal(first, second)
    assert torch.equal(first, training._draw_unlabelled(1))
    assert not set(first.tolist()) & set(inputs.target_train.pixels.tolist())


def test_logits_after_an_epoch_come_from_the_weights_after_it(inputs: TrainingInputs) -> None:
    training = start(inputs)
    training.train_epoch(1)
    with torch.no_grad():
        features = folded.features(training.target.eval().body, inputs.target_cube)
        torch.testing.assert_close(training.target_logits(), training.target.classifier(features), rtol=0, atol=0)


@pytest.mark.parametrize(("patience", "stops_after"), [(1, 1), (3, 3)])
def test_losses_that_stay_low_stop_the_training(inputs: TrainingInputs, patience: int, stops_after: int) -> None:
    training = start(inputs)
    training.settings = training.settings.model_copy(
        update={
            "early_stop": "losses",
            "early_stop_patience": patience,
            "early_stop_discriminator_loss": 1e9,
            "early_stop_target_loss": 1e9,
        }
    )
    for epoch in range(1, stops_after + 1):
        assert not training.has_converged()
        training.train_epoch(epoch)
    assert training.has_converged()


@pytest.mark.parametrize("high", ["early_stop_discriminator_loss", "early_stop_target_loss"])
def test_one_high_loss_starts_the_count_anew(inputs: TrainingInputs, high: str) -> None:
    limits = {"early_stop_discriminator_loss": 1e9, "early_stop_target_loss": 1e9}
    training = start(inputs)
    training.settings = training.settings.model_copy(
        update={"early_stop": "losses", "early_stop_patience": 2, **limits}
    )
    training.train_epoch(1)
    training.settings = training.settings.model_copy(update={high: 0.0})
    training.train_epoch(2)
    training.settings = training.settings.model_copy(update={high: 1e9})
    training.train_epoch(3)
    assert not training.has_converged()


def test_low_cross_entropy_on_the_labelled_pixels_stops_c2seg(inputs: TrainingInputs) -> None:
    training = start(inputs)
    training.settings = training.settings.model_copy(
        update={"early_stop": "target_ce", "early_stop_patience": 2, "early_stop_target_ce": 1e9}
    )
    training.train_epoch(1)
    assert len(training.target_ce) == training.settings.target_steps
    assert training.target_cross_entropy() == pytest.approx(sum(training.target_ce) / len(training.target_ce))
    assert not training.has_converged()
    training.train_epoch(2)
    assert training.has_converged()
