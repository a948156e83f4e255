from __future__ import annotations

import pytest
import torch
from quick import quick_config

from agsgtl.data.pairing import DomainPair
from agsgtl.models.networks import build_segmenter
from agsgtl.seeds import Seeds
from agsgtl.training.averaging import Averaged
from agsgtl.training.inputs import TrainingInputs
from agsgtl.training.methods import METHODS
from agsgtl.training.training import Training
from agsgtl.trial import source_inputs

READ_IT = [name for name in METHODS if "adapt.ema_decay" in METHODS[name].reads]
DECAY = 0.75


@pytest.fixture
def inputs(tiny_pair: DomainPair) -> TrainingInputs:
    return source_inputs(quick_config(), tiny_pair, Seeds(labels=0, init=0))


def started(name: str, inputs: TrainingInputs, decay: float) -> Training:
    config = quick_config(adapt__ema_decay=decay)
    source = METHODS["target_only"].start(quick_config(), inputs, {}, 0).weights()
    return METHODS[name].start(config, inputs, source, 0)


def test_the_average_follows_the_written_formula_running_statistics_too() -> None:
    network = build_segmenter(quick_config(), bands=5, classes=3, seed=0)
    averaged = Averaged(network, DECAY)
    expected = None
    for _ in range(4):
        network.train()(torch.rand(1, 5, 8, 8))
        for parameter in network.parameters():
            parameter.data += torch.randn_like(parameter)
        averaged.update()
        now = {name: value.clone() for name, value in network.state_dict().items() if value.is_floating_point()}
        previous = expected or now
        expected = {name: DECAY * previous[name] + (1 - DECAY) * now[name] for name in now}
    judged = averaged.judged.state_dict()
    assert any("running_mean" in name for name in expected)
    for name, value in expected.items():
        torch.testing.assert_close(judged[name], value)


@pytest.mark.parametrize("name", READ_IT)
def test_the_training_itself_does_not_see_the_average(name: str, inputs: TrainingInputs) -> None:
    plain, averaged = (started(name, inputs, decay) for decay in (0.0, DECAY))
    for epoch in (1, 2):
        assert plain.train_epoch(epoch) == averaged.train_epoch(epoch)
    assert not torch.equal(plain.target_logits(), averaged.target_logits())


@pytest.mark.parametrize("name", READ_IT)
def test_kept_weights_are_the_average_and_a_state_goes_on_to_the_same_result(name: str, inputs: TrainingInputs) -> None:
    straight, resumed = (started(name, inputs, DECAY) for _ in range(2))
    straight.train_epoch(1)
    resumed.load_state({name: tensor.clone() for name, tensor in straight.state().items()})
    for training in (straight, resumed):
        training.train_epoch(2)
    logits = straight.target_logits()
    assert torch.equal(resumed.target_logits(), logits)
    fresh = started(name, inputs, DECAY)
    fresh.load_weights(straight.weights())
    assert torch.equal(fresh.target_logits(), logits)
