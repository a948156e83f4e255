"""The trainer gives the numbers that the authors' code gave, trace by trace, in float64; so does the benchmarks' baseline.

On a GPU too, where there is one.

`AGSGTL_TRACES=DIR pytest tests/training/test_parity.py` replays every trace in DIR instead of the shipped ones.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agsgtl.config import Config, configure
from agsgtl.models.authors_weights import from_authors
from agsgtl.models.networks import build_discriminator, build_segmenter
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.training.inputs import LabelledPixels, TrainingInputs, as_networks_read
from agsgtl.training.pretrain import pretrain
from benchmarks.naive import NaiveAdversarialTraining

Network = TypeVar("Network", bound=torch.nn.Module)

TOLERANCE = 1e-6  # relative, as method.md sets it
SHIPPED = Path(__file__).parents[1] / "data" / "traces"
FOLDER = Path(os.environ.get("AGSGTL_TRACES", SHIPPED))
TRACES = sorted(FOLDER.glob("*.npz"))
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def test_there_are_traces() -> None:
    assert TRACES, f"{FOLDER} holds no .npz trace"


@pytest.fixture(scope="module", params=TRACES, ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest) -> dict[str, NDArray]:
    with np.load(request.param, allow_pickle=False) as file:
        return dict(file)


@dataclass(frozen=True)
class Replay:
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    discriminator_loss: NDArray
    target_loss: NDArray
    training: AdversarialTraining | NaiveAdversarialTraining


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[AdversarialTraining, NaiveAdversarialTraining])
def replay(trace: dict[str, NDArray], device: str, request: pytest.FixtureRequest) -> Replay:
    config, inputs = config_of(trace, device), inputs_of(trace, device)
    source = load(build_segmenter(config, inputs.bands, inputs.classes, seed=0), trace, "pretrain/initial", device)
    model = pretrain(config, inputs, source)
    source = load(source, trace, "pretrain/final", device)  # rounded to float32 in the file: both phases start exact
    target = load(build_segmenter(config, inputs.bands, inputs.classes, seed=0), trace, "pretrain/final", device)
    discriminator = load(build_discriminator(config, inputs.classes, seed=0), trace, "discriminator/initial", device)
    training = request.param(config, inputs, source, target, discriminator, seed=0)
    steps = [training.train_steps(epoch) for epoch in range(1, config.adapt.epochs + 1)]
    losses = [np.array([losses.tolist() for losses in phase]) for phase in zip(*steps, strict=True)]
    return Replay(model.train_loss, model.validation_loss, losses[0], losses[1], training)


def test_pretraining_losses(trace: dict[str, NDArray], replay: Replay) -> None:
    np.testing.assert_allclose(replay.train_loss, trace["pretrain/train_loss"], rtol=TOLERANCE)
    np.testing.assert_allclose(replay.validation_loss, trace["pretrain/val_loss"], rtol=TOLERANCE)


def test_discriminator_losses(trace: dict[str, NDArray], replay: Replay) -> None:
    np.testing.assert_allclose(replay.discriminator_loss, trace["adversarial/discriminator_loss"], rtol=TOLERANCE)


def test_target_losses(trace: dict[str, NDArray], replay: Replay) -> None:
    expected = trace["adversarial/target_loss"]
    got = replay.target_loss if expected.shape[1] > 1 else replay.target_loss.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE)


@pytest.mark.parametrize("network", ["target", "discriminator"])
def test_final_weights(trace: dict[str, NDArray], replay: Replay, network: str) -> None:
    state = getattr(replay.training, network).state_dict()
    names = from_authors({str(key): torch.empty(0) for key in trace[f"{network}/keys"]})
    assert set(names) == set(state)
    norms = [state[name].double().norm().item() for name in names]
    np.testing.assert_allclose(norms, trace[f"{network}/final_norms"], rtol=TOLERANCE, atol=1e-12)


def test_logits_and_class_map(trace: dict[str, NDArray], replay: Replay) -> None:
    logits, expected = replay.training.target_logits()[0].cpu().numpy(), trace["target/logits"]
    assert np.abs(logits - expected).max() / np.abs(expected).max() <= TOLERANCE
    np.testing.assert_array_equal(logits.argmax(axis=0) + 1, trace["target/class_map"])


def config_of(trace: dict[str, NDArray], device: str = "cpu") -> Config:
    meta = json.loads(str(trace["meta"]))
    width = {"shallow": (16, 32), "depthwise": (42, 42)}[meta["architecture"]]
    settings = {
        "runtime.device": device,
        "model.family": meta["architecture"],
        "model.width": width[0],
        "model.discriminator_width": width[1],
        "attention.discriminator": bool(meta["discriminator_attention"]),
        "attention.target": bool(meta["target_attention"]),
        "pretrain.epochs": meta["pretrain_epochs"],
        "pretrain.learning_rate": meta["pretrain_lr"],
        "adapt.epochs": meta["adversarial_epochs"],
        "adapt.discriminator_steps": meta["discriminator_steps"],
        "adapt.target_steps": meta["target_steps"],
        "adapt.target_learning_rate": meta["target_lr"],
        "adapt.discriminator_learning_rate": meta["discriminator_lr"],
    }
    return configure(settings, origin="the trace")


def inputs_of(trace: dict[str, NDArray], device: str = "cpu") -> TrainingInputs:
    cubes = [
        as_networks_read(np.ascontiguousarray(trace[f"{domain}_cube"], dtype=np.float64), device)
        for domain in ("source", "target")
    ]
    labels = {
        name: LabelledPixels.of(trace[f"{name}_labels"], device)
        for name in ("source_train", "source_val", "target_train")
    }
    return TrainingInputs(
        source_cube=cubes[0],
        target_cube=cubes[1],
        source_train=labels["source_train"],
        source_validation=labels["source_val"],
        target_train=labels["target_train"],
        target_validation=labels["target_train"],
        unlabelled=torch.arange(0, device=device),
        classes=json.loads(str(trace["meta"]))["classes"],
    )


def load(network: Network, trace: dict[str, NDArray], prefix: str, device: str = "cpu") -> Network:
    weights = {
        key.removeprefix(f"{prefix}/"): torch.from_numpy(trace[key]) for key in trace if key.startswith(f"{prefix}/")
    }
    network.load_state_dict(from_authors(weights))
    return network.to(device, dtype=torch.float64, memory_format=torch.channels_last)
