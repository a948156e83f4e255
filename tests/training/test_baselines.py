from __future__ import annotations

import numpy as np
import pytest
import torch
from quick import quick_config
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from agsgtl.training import baselines
from agsgtl.training.baselines import LinearDiscriminant, SupervisedTraining
from agsgtl.training.extent import Part
from agsgtl.training.inputs import LabelledPixels, TrainingInputs
from agsgtl.training.losses import at_pixels
from agsgtl.training.methods import METHODS


def inputs_of(classes: int, per_class: int, bands: int = 5) -> TrainingInputs:
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 7), np.uint8)
    labels.flat[: classes * per_class] = np.tile(np.arange(1, classes + 1), per_class)
    cube = rng.standard_normal((6, 7, bands)) + labels[:, :, None] * np.arange(bands)
    tensor = torch.from_numpy(cube.transpose(2, 0, 1)[None].astype(np.float32).copy())
    pixels = LabelledPixels.of(labels, "cpu")
    return TrainingInputs(tensor, tensor.flip(3), pixels, pixels, pixels, pixels, torch.arange(42), classes)


@pytest.mark.parametrize("classes", [2, 3])
def test_discriminants_decide_as_scikit_learn_does(classes: int) -> None:
    inputs = inputs_of(classes, per_class=6)
    spectra = inputs.target_cube[0].permute(1, 2, 0).reshape(42, -1).double().numpy()
    pixels, labels = inputs.target_train.pixels.numpy(), inputs.target_train.labels.numpy()
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(spectra[pixels], labels)
    decided = LinearDiscriminant(inputs).target_logits()[0].argmax(dim=0).reshape(-1).numpy()
    np.testing.assert_array_equal(decided, model.predict(spectra))


def test_discriminants_at_pixels_and_in_blocks_of_rows_are_the_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = inputs_of(3, per_class=6)
    training, pixels = LinearDiscriminant(inputs), torch.tensor([0, 41, 17])
    whole = training.target_logits()
    expected = torch.einsum("kb,nbhw->nkhw", training.coefficients, inputs.target_cube.double())
    torch.testing.assert_close(whole, expected + training.intercepts[:, None, None])
    torch.testing.assert_close(training.target_logits_at(pixels), at_pixels(whole, pixels))
    torch.testing.assert_close(training.source_logits_at(pixels), at_pixels(training.source_logits(), pixels))
    monkeypatch.setattr(baselines, "BLOCK_ROWS", 4)  # of 6: a block of four, one of two
    torch.testing.assert_close(training.target_logits(), whole)


def test_with_one_pixel_a_class_the_nearest_spectrum_wins() -> None:
    inputs = inputs_of(3, per_class=1)
    spectra = inputs.target_cube[0].permute(1, 2, 0).reshape(42, -1).double()
    means = spectra[inputs.target_train.pixels][inputs.target_train.labels.argsort()]
    decided = LinearDiscriminant(inputs).target_logits()[0].argmax(dim=0).reshape(-1)
    assert torch.equal(decided, torch.cdist(spectra, means).argmin(dim=1))


def test_source_and_target_add_their_losses() -> None:
    inputs = inputs_of(3, per_class=4)
    config = quick_config(adapt__target_steps=1)

    def first_loss(*parts: Part) -> float:
        domains = [lambda epoch, part=part: part for part in parts]
        segmenter = METHODS["target_only"].start(config, inputs, {}, 0).segmenter
        return float(SupervisedTraining(config, inputs, segmenter, domains, seed=0).train_epoch(1)["segmentation"])

    source = Part(inputs.source_cube, inputs.source_train)
    target = Part(inputs.target_cube, inputs.target_train)
    assert first_loss(source, target) == pytest.approx(first_loss(source) + first_loss(target), rel=1e-5)


def test_a_baseline_takes_as_many_steps_as_the_adversarial_target() -> None:
    inputs = inputs_of(3, per_class=4)
    training = METHODS["target_only"].start(quick_config(adapt__target_steps=4), inputs, {}, 0)
    training.train_epoch(1)
    assert {state["step"].item() for state in training.optimizer.state.values()} == {4}
