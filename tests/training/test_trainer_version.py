"""The guard of TRAINER_VERSION: what methods give on made-up pairs, written down for the version that gives it.

A change that alters these numbers makes old records incomparable: raise TRAINER_VERSION, then write the new numbers down
(`python -m pytest tests/training/test_trainer_version.py` prints them). Numbers and not a hash, since processors differ
in the last bits. In float32 Adam makes much of these bits: a bias ahead of a batch norm has a gradient of rounding alone, which
it takes for a direction. So what settings do is written down of trainings in float64, where processors agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from quick import quick_config
from tiny import write_tiny_pair
from torch import Tensor

from agsgtl.config import Value
from agsgtl.data.pairing import DomainPair, load_pair
from agsgtl.seeds import Seeds
from agsgtl.training import TRAINER_VERSION
from agsgtl.training.inputs import TrainingInputs
from agsgtl.training.methods import METHODS
from agsgtl.training.pretrain import obtain_source_model
from agsgtl.training.training import Training
from agsgtl.trial import debug_setup, run_trial, source_inputs

FILE = Path(__file__).parents[1] / "data" / "trainer_versions.json"
WRITTEN_DOWN = json.loads(FILE.read_text()).get(str(TRAINER_VERSION), {"float32": {}, "float64": {}})
EVERYTHING_ON: dict[str, Value] = {
    "loss__target_segmentation": 1.0,
    "loss__entropy": 0.1,
    "loss__unlabelled_adversarial": 0.1,
    "attention__target": True,
    "adapt__early_stop": "none",
}
WINDOWS: dict[str, Value] = {"adapt__extent": "windows", "adapt__source_pixels_per_class": 3}
DEPTHWISE: dict[str, Value] = {
    "model__family": "depthwise",
    "model__width": 21,
    "model__discriminator_width": 21,
    "attention__target": False,
}
VIEWS: dict[str, Value] = {
    "adapt__orientation": "random",
    "adapt__pooling_grid": "random",
    "adapt__discriminator_view": "random",
}
STOPS: dict[str, Value] = {
    "adapt__early_stop": "target_ce",
    "adapt__early_stop_target_ce": 1e3,
    "adapt__early_stop_patience": 2,
}


@dataclass(frozen=True)
class Case:
    """A method, what it runs with on top of `EVERYTHING_ON`, and the size of the pair (`write_tiny_pair`)."""

    method: str
    settings: dict[str, Value] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)


CASES = {
    **{name: Case(name) for name in METHODS},
    "agsgtl, windows": Case("agsgtl", WINDOWS, {"height": 110, "width": 120}),
    "source_and_target, windows": Case("source_and_target", WINDOWS, {"height": 110, "width": 120}),
    "agsgtl, windows that share pixels": Case("agsgtl", WINDOWS, {"width": 300}),  # larger than the smallest ones
    "agsgtl, depthwise": Case("agsgtl", DEPTHWISE, {"height": 17, "width": 18, "bands": 21}),
    "agsgtl, averaged": Case("agsgtl", {"adapt__ema_decay": 0.5}),
    "fine_tune, averaged": Case("fine_tune", {"adapt__ema_decay": 0.5}),
    "agsgtl, classifier": Case("agsgtl", {"adapt__train_classifier": True}),
    "agsgtl, views": Case("agsgtl", VIEWS),
    "target_only, views": Case("target_only", VIEWS),
    "agsgtl, stops": Case("agsgtl", STOPS),
    "agsgtl, decay": Case("agsgtl", {"adapt__adversarial_schedule": "decay"}),
}


@pytest.fixture
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].reads & {"adapt.epochs"}])
def test_this_version_gives_the_losses_written_down_for_it(tiny_pair: DomainPair, method: str) -> None:
    config = quick_config(**EVERYTHING_ON)
    setup = debug_setup(tiny_pair, config, method, Seeds(labels=0, init=0), "target_validation")
    losses = run_trial(config, tiny_pair, setup).outcomes[0].losses
    assert losses == pytest.approx(WRITTEN_DOWN["float32"].get(method), rel=1e-3), (
        f"raise TRAINER_VERSION and write down {json.dumps({method: losses})}"
    )


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("name", CASES)
def test_this_version_gives_the_numbers_written_down_for_it(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    found = numbers(case, load_pair(str(write_tiny_pair(tmp_path, **case.size))))
    assert found == pytest.approx(WRITTEN_DOWN["float64"].get(name), rel=1e-5), (
        f"raise TRAINER_VERSION and write down {json.dumps({name: found})}"
    )


def numbers(case: Case, pair: DomainPair) -> dict[str, float]:
    """The last epoch and its losses, and what the logits of both scenes say after it."""
    config, seeds = quick_config(**EVERYTHING_ON | case.settings), Seeds(labels=0, init=0)
    inputs, method = in_double(source_inputs(config, pair, seeds)), METHODS[case.method]
    pretrained = obtain_source_model(config, inputs, seeds).best if method.needs_source_model else {}
    training = method.start(config, inputs, pretrained, seeds.init)
    epoch, losses = trained(training)
    target, source = moments("target", training.target_logits()), moments("source", training.source_logits())
    return {"epoch": epoch, **losses, **target, **source}


def in_double(inputs: TrainingInputs) -> TrainingInputs:
    """The same with cubes in float64."""
    return replace(inputs, source_cube=inputs.source_cube.double(), target_cube=inputs.target_cube.double())


def trained(training: Training) -> tuple[int, dict[str, float]]:
    """The last epoch, by number or by the early stop, and its losses."""
    epoch, losses = 0, {}
    while epoch < training.epochs and not training.has_converged():
        epoch += 1
        losses = {name: float(loss) for name, loss in training.train_epoch(epoch).items()}
    return epoch, losses


def moments(side: str, logits: Tensor) -> dict[str, float]:
    """Mean and mean square of logits (1, K, H, W)."""
    return {f"{side} mean": logits.mean().item(), f"{side} mean square": logits.square().mean().item()}
