"""One seed of a trial: what is kept, and what each selection rule reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from quick import quick_config, setup_of

from agsgtl.config import Config
from agsgtl.data.pairing import DomainPair
from agsgtl.models.networks import build_segmenter
from agsgtl.reporting.ledger import TrialFolder
from agsgtl.seedrun import SeedRun
from agsgtl.seeds import Seeds
from agsgtl.training import checkpoint
from agsgtl.trial import Place, run_trial, source_inputs


@pytest.mark.parametrize(("keep", "kept"), [("last", 4), ("best_validation", 2), ("lowest_target_ce", 3)])
def test_keep_chooses_epoch_score_and_weights_together(keep: str, kept: int) -> None:
    scores, cross_entropies = [0.3, 0.8, 0.5, 0.4], [0.9, 0.7, 0.2, 0.6]

    class Scripted:
        epochs, epoch = 4, 0

        def target_cross_entropy(self) -> float:
            return cross_entropies[self.epoch - 1]

        def weights(self) -> dict[str, torch.Tensor]:
            return {"epoch": torch.tensor(self.epoch)}

        def beside(self) -> dict[str, torch.Tensor]:
            return {"discriminator.epoch": torch.tensor(self.epoch)}

    run = SeedRun(Seeds(labels=0, init=0), Scripted(), keep)
    for epoch in (1, 2, 3, 4):
        run.training.epoch = epoch
        run.judge(epoch, {}, scores[epoch - 1])
    assert (run.epoch, run.score, run.kept_weights()["epoch"].item()) == (kept, scores[kept - 1], kept)
    assert run.networks_beside()["discriminator.epoch"].item() == kept
    assert (run.best_score, run.best_epoch) == (0.8, 2)


@pytest.mark.parametrize("rule", ["source_validation", "target_entropy"])
def test_a_rule_without_target_labels_needs_no_validation_pixel(tiny_pair: DomainPair, rule: str) -> None:
    """It gives the same score and keeps the same epoch whether there are any or not."""
    setup = setup_of(tiny_pair, select=rule)
    kept = [
        run_trial(
            quick_config(adapt__keep="best_validation", labels__validation_per_class=count), tiny_pair, setup
        ).outcomes[0]
        for count in (0, 1)
    ]
    assert kept[0].score == kept[1].score
    assert kept[0].epoch == kept[1].epoch
    assert kept[0].validation == {}


def test_the_entropy_rule_reads_every_pixel_outside_the_training_labels(tiny_pair: DomainPair, tmp_path: Path) -> None:
    config = quick_config(adapt__keep="last")
    record = run_trial(config, tiny_pair, setup_of(tiny_pair, select="target_entropy"), Place(TrialFolder(tmp_path)))
    inputs = source_inputs(config, tiny_pair, Seeds(labels=0, init=0))
    probabilities = kept_probabilities(tmp_path, config, tiny_pair)[:, inputs.unlabelled]
    expected = (probabilities * probabilities.log()).sum(dim=0).mean().item()
    assert record.score == pytest.approx(expected, abs=1e-5)


def kept_probabilities(folder: Path, config: Config, pair: DomainPair) -> torch.Tensor:
    """The softmax (K, pixels) of the target scene by the plain network with a trial's kept weights."""
    inputs = source_inputs(config, pair, Seeds(labels=0, init=0))
    segmenter = build_segmenter(config, inputs.bands, pair.classes, seed=1).eval()
    weights, _ = checkpoint.load(folder / "checkpoint" / "best.safetensors")
    segmenter.load_state_dict(checkpoint.under("0", weights))
    with torch.no_grad():
        return segmenter(inputs.target_cube)[0].flatten(1).softmax(dim=0)


def test_the_probability_rule_scores_the_weights_that_it_keeps(tiny_pair: DomainPair, tmp_path: Path) -> None:
    config = quick_config(adapt__keep="best_validation")
    record = run_trial(
        config, tiny_pair, setup_of(tiny_pair, select="target_probability"), Place(TrialFolder(tmp_path))
    )
    (outcome,) = record.outcomes
    assert outcome.score == outcome.best_score == record.score

    validation = source_inputs(config, tiny_pair, Seeds(labels=0, init=0)).target_validation
    probabilities = kept_probabilities(tmp_path, config, tiny_pair)
    expected = probabilities[validation.labels, validation.pixels].mean().item()
    assert outcome.score == pytest.approx(expected, abs=1e-5)
