from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from quick import quick_config

from agsgtl.data.labels import draw_labels
from agsgtl.data.pairing import DomainPair
from agsgtl.durable import set_aside
from agsgtl.errors import Diverged, Interrupted
from agsgtl.models.networks import build_segmenter
from agsgtl.seeds import Seeds
from agsgtl.training import checkpoint
from agsgtl.training.inputs import TrainingInputs, normalised_cubes, training_inputs
from agsgtl.training.losses import at_pixels, cross_entropy
from agsgtl.training.pretrain import obtain_source_model, pretrain, source_model_key

SEEDS = Seeds(labels=0, init=0)


@pytest.fixture
def inputs(tiny_pair: DomainPair) -> TrainingInputs:
    return training_inputs(*normalised_cubes(tiny_pair, "per_domain", "cpu"), draw_labels(tiny_pair, 3, 3, 0), 3)


def test_best_has_the_lowest_validation_loss(inputs: TrainingInputs) -> None:
    config = quick_config(pretrain__epochs=12, pretrain__learning_rate=0.3)
    segmenter = build_segmenter(config, inputs.bands, 3, seed=0)
    model = pretrain(config, inputs, segmenter)
    segmenter.load_state_dict(model.best)
    with torch.no_grad():
        logits = at_pixels(segmenter.eval()(inputs.source_cube), inputs.source_validation.pixels)
    loss = cross_entropy(logits, inputs.source_validation.labels).item()
    assert loss == pytest.approx(min(model.validation_loss), rel=1e-5)
    assert model.validation_loss[-1] > min(model.validation_loss)  # else the test shows nothing


def test_a_kept_source_model_is_not_trained_again(inputs: TrainingInputs, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    first = obtain_source_model(quick_config(), inputs, SEEDS, file)
    written = file.stat().st_mtime_ns
    second = obtain_source_model(quick_config(), inputs, SEEDS, file)
    assert file.stat().st_mtime_ns == written
    assert all(torch.equal(first.best[name], second.best[name]) for name in first.best)
    assert second.train_loss == first.train_loss


def test_a_torn_source_model_is_set_aside_and_made_again(inputs: TrainingInputs, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    first = obtain_source_model(quick_config(), inputs, SEEDS, file)
    file.write_bytes(b"torn")
    again = obtain_source_model(quick_config(), inputs, SEEDS, file)
    assert all(torch.equal(first.best[name], again.best[name]) for name in first.best)
    assert (tmp_path / "model.safetensors.damaged").read_bytes() == b"torn"
    assert obtain_source_model(quick_config(), inputs, SEEDS, file).train_loss == first.train_loss


@pytest.mark.parametrize("made_again", [False, True])
def test_a_torn_source_model_that_another_trial_has_dealt_with_is_no_failure(
    inputs: TrainingInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_again: bool
) -> None:
    """Two trials read it torn at once; the other one has set it aside, or besides made it again, before this one goes on."""
    file = tmp_path / "model.safetensors"
    first = obtain_source_model(quick_config(), inputs, SEEDS, file)
    whole = file.read_bytes()
    file.write_bytes(b"torn")
    load = checkpoint.load

    def load_while_another_deals_with_it(path: Path) -> tuple[checkpoint.Tensors, dict[str, Any]]:
        try:
            return load(path)
        finally:
            if path.read_bytes() == b"torn":
                set_aside(path)
                if made_again:
                    path.write_bytes(whole)

    monkeypatch.setattr(checkpoint, "load", load_while_another_deals_with_it)
    again = obtain_source_model(quick_config(), inputs, SEEDS, file)
    assert all(torch.equal(first.best[name], again.best[name]) for name in first.best)
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged*")] == [b"torn"]
    assert file.read_bytes() == whole


def test_a_stop_is_heeded_after_an_epoch_and_keeps_nothing(inputs: TrainingInputs, tmp_path: Path) -> None:
    file, asked = tmp_path / "model.safetensors", iter([False, True])
    with pytest.raises(Interrupted, match="pre-training: stopped after epoch 2"):
        obtain_source_model(quick_config(), inputs, SEEDS, file, lambda: next(asked))
    assert not file.exists()
    late = obtain_source_model(quick_config(pretrain__epochs=1), inputs, SEEDS, file, lambda: True)
    assert (len(late.train_loss), file.exists()) == (1, True)  # all of it is done: kept


def test_the_key_follows_what_decides_the_model_alone() -> None:
    key = source_model_key(quick_config(), "data", SEEDS)
    assert source_model_key(quick_config(loss__entropy=1.0, adapt__epochs=9), "data", SEEDS) == key
    changed = [
        source_model_key(quick_config(pretrain__epochs=4), "data", SEEDS),
        source_model_key(quick_config(model__width=8), "data", SEEDS),
        source_model_key(quick_config(data__normalisation="source"), "data", SEEDS),
        source_model_key(quick_config(), "other data", SEEDS),
        source_model_key(quick_config(), "data", Seeds(labels=1, init=0)),
        source_model_key(quick_config(), "data", Seeds(labels=0, init=1)),
    ]
    assert key not in changed
    assert len(set(changed)) == len(changed)


def test_a_loss_that_is_not_finite_diverges(inputs: TrainingInputs) -> None:
    segmenter = build_segmenter(quick_config(), inputs.bands, 3, seed=0)
    segmenter.classifier.bias.data.fill_(float("nan"))
    with pytest.raises(Diverged, match="not finite in epoch 1"):
        pretrain(quick_config(), inputs, segmenter)
