from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from quick import quick_config
from tiny import write_tiny_pair

from agsgtl.data.labels import draw_labels
from agsgtl.data.pairing import load_pair
from agsgtl.models.networks import build_segmenter
from agsgtl.seedrun import judged_by
from agsgtl.training.extent import SourceParts, balanced_draw, target_part
from agsgtl.training.inputs import LabelledPixels, TrainingInputs, normalised_cubes, training_inputs
from agsgtl.training.losses import at_pixels
from agsgtl.training.methods import METHODS
from agsgtl.training.training import Training

WINDOWS = {"adapt__extent": "windows", "adapt__source_pixels_per_class": 3, "adapt__early_stop": "none"}
METHODS_THAT_READ_IT = [name for name in METHODS if "adapt.extent" in METHODS[name].reads]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> TrainingInputs:
    """Scenes of 190 x 210 pixels, large enough that windows around 9 pixels are cheaper."""
    file = write_tiny_pair(tmp_path_factory.mktemp("wide"), height=190, width=210)
    pair = load_pair(str(file))
    return training_inputs(*normalised_cubes(pair, "per_domain", "cpu"), draw_labels(pair, 3, 3, 0), 3)


def start(name: str, inputs: TrainingInputs, **overrides: object) -> Training:
    config = quick_config(**{**WINDOWS, **overrides})
    source = build_segmenter(config, inputs.bands, inputs.classes, seed=1).state_dict()
    return METHODS[name].start(config, inputs, source if METHODS[name].needs_source_model else {}, 0)


def test_the_targets_windows_hold_the_spectra_of_its_labelled_pixels(inputs: TrainingInputs) -> None:
    part = target_part(quick_config(**WINDOWS), inputs, with_discriminator=True)
    assert part.maps[:, 0].numel() < inputs.target_cube[:, 0].numel()
    spectra = at_pixels(inputs.target_cube, inputs.target_train.pixels)
    assert torch.equal(at_pixels(part.maps, part.labelled.pixels), spectra)
    assert torch.equal(part.labelled.labels, inputs.target_train.labels)
    assert len(part.unlabelled)
    assert not torch.isin(part.unlabelled, part.labelled.pixels).any()


def test_windows_are_smaller_where_no_discriminator_looks(inputs: TrainingInputs) -> None:
    config = quick_config(**WINDOWS)
    alone, judged = (target_part(config, inputs, with_discriminator=choice) for choice in (False, True))
    assert alone.maps.numel() < judged.maps.numel()


def test_the_whole_scene_is_the_default(inputs: TrainingInputs) -> None:
    config = quick_config()
    part = target_part(config, inputs, with_discriminator=True)
    source = SourceParts(config, inputs.source_train, "segmenter", seed=0).of(inputs.source_cube, epoch=1)
    assert part.maps is inputs.target_cube
    assert part.labelled is inputs.target_train
    assert part.unlabelled is inputs.unlabelled
    assert source.maps is inputs.source_cube
    assert source.labelled is inputs.source_train


def test_the_source_is_drawn_afresh_each_epoch_by_the_seed_alone(inputs: TrainingInputs) -> None:
    def spectra(seed: int, epoch: int) -> torch.Tensor:
        parts = SourceParts(quick_config(**WINDOWS), inputs.source_train, "discriminator", seed)
        part = parts.of(inputs.source_cube, epoch)
        assert part.labelled.labels.bincount().tolist() == [3, 3, 3]
        return at_pixels(part.maps, part.labelled.pixels)

    assert torch.equal(spectra(0, 1), spectra(0, 1))
    assert not torch.equal(spectra(0, 1), spectra(0, 2))
    assert not torch.equal(spectra(0, 1), spectra(1, 1))


def test_a_balanced_draw_takes_all_of_a_small_class_and_no_pixel_twice() -> None:
    labelled = LabelledPixels(torch.arange(100, 112), torch.tensor([0] * 8 + [1] * 3 + [2]))
    drawn = balanced_draw(labelled, 4, np.random.default_rng(0))
    assert drawn.labels.tolist() == [0] * 4 + [1] * 3 + [2]
    assert len(drawn.pixels.unique()) == 8
    assert torch.equal(labelled.labels[drawn.pixels - 100], drawn.labels)


@pytest.mark.parametrize("name", METHODS_THAT_READ_IT)
def test_logits_at_pixels_are_the_scenes(name: str, inputs: TrainingInputs) -> None:
    training = start(name, inputs, loss__entropy=0.1, attention__target=True)
    training.train_epoch(1)
    for pixels in (inputs.target_validation.pixels, torch.tensor([0, 190 * 210 - 1])):
        whole = at_pixels(training.target_logits(), pixels)
        torch.testing.assert_close(training.target_logits_at(pixels), whole, rtol=1e-4, atol=1e-5)
        assert whole.std() > 0.01
        whole = at_pixels(training.source_logits(), pixels)
        torch.testing.assert_close(training.source_logits_at(pixels), whole, rtol=1e-4, atol=1e-5)


def test_source_only_is_judged_on_whole_scenes_whatever_the_extent(inputs: TrainingInputs) -> None:
    training = start("source_only", inputs)
    with mock.patch("agsgtl.training.baselines.logits_in_windows", side_effect=AssertionError):
        target = training.target_logits_at(inputs.target_validation.pixels)
        source = training.source_logits_at(inputs.source_validation.pixels)
    assert torch.equal(target, at_pixels(training.target_logits(), inputs.target_validation.pixels))
    assert torch.equal(source, at_pixels(training.source_logits(), inputs.source_validation.pixels))


@pytest.mark.parametrize("name", METHODS_THAT_READ_IT)
def test_selection_on_the_source_computes_no_whole_scene(name: str, inputs: TrainingInputs) -> None:
    training = start(name, inputs)
    with mock.patch.object(training, "source_logits", side_effect=AssertionError):
        logits, _ = judged_by(training, "source_validation")
    torch.testing.assert_close(logits, at_pixels(training.source_logits(), inputs.source_validation.pixels))


@pytest.mark.parametrize("name", METHODS_THAT_READ_IT)
def test_a_state_goes_on_to_the_same_bits_in_windows(name: str, inputs: TrainingInputs) -> None:
    straight, stopped, resumed = (start(name, inputs, loss__unlabelled_adversarial=0.1) for _ in range(3))
    for epoch in (1, 2, 3):
        straight.train_epoch(epoch)
    stopped.train_epoch(1)
    resumed.load_state({key: value.clone() for key, value in stopped.state().items()})
    for epoch in (2, 3):
        resumed.train_epoch(epoch)
    assert torch.equal(straight.target_logits(), resumed.target_logits())


@pytest.mark.parametrize("name", METHODS_THAT_READ_IT)
def test_windows_change_the_training(name: str, inputs: TrainingInputs) -> None:
    scene, cut = start(name, inputs, adapt__extent="scene"), start(name, inputs)
    for training in (scene, cut):
        training.train_epoch(1)
    assert not torch.equal(scene.target_logits(), cut.target_logits())
