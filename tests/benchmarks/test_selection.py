from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from quick import quick_config

from agsgtl.config import flatten
from agsgtl.data.pairing import DomainPair
from agsgtl.errors import Diverged
from agsgtl.training.inputs import LabelledPixels
from agsgtl.trial import start_training
from benchmarks import views
from benchmarks.selection import configured_here, development_f1
from benchmarks.views import worth


def test_a_record_made_on_a_gpu_is_read_on_any_machine(tiny_pair: DomainPair, tmp_path: Path) -> None:
    settings = flatten(quick_config(runtime__device="cuda"))
    config = configured_here(settings, {"adapt.epochs": 1}, origin="test")
    assert (config.runtime.device, config.adapt.epochs) == ("cpu", 1)
    assert 0 <= worth(config, "fine_tune", tiny_pair, 1, tmp_path)["one grid"] <= 1


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_network_that_diverged_is_worth_nothing_that_could_be_printed(broken: float) -> None:
    logits = torch.zeros(1, 2, 2, 2)
    rest = LabelledPixels(torch.tensor([0, 3]), torch.tensor([0, 1]))
    logits[0, 1, 1, 1] = broken
    with pytest.raises(Diverged, match="not finite"):
        development_f1(logits, rest)
    logits[0, 1, 1, 1] = 1.0
    assert development_f1(logits, rest) == 1.0


def test_a_training_that_diverges_says_so(
    tiny_pair: DomainPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*arguments: object) -> object:
        training = start_training(*arguments)  # type: ignore[arg-type]
        weights = training.weights()
        training.load_weights(weights | {"classifier.bias": weights["classifier.bias"] * math.nan})
        return training

    monkeypatch.setattr(views, "start_training", started)
    with pytest.raises(Diverged, match="not finite"):
        worth(quick_config(), "fine_tune", tiny_pair, 1, tmp_path)
