"""Which selection rule picks the better trials: all of them on the same trained weights, judged without test labels.

    python -m benchmarks.selection results/EXPERIMENT [--methods agsgtl,fine_tune]

Every complete search trial of a finished sweep still has its weights. Each rule scores them anew, as the mean over the
trial's seeds, and is judged by the macro F1 on the rest of the development pool: the pixels that are neither test pixels nor
drawn for training or validation by that seed, averaged over the classes that have some. What a rule reads: the v validation
pixels a class, or no label at all.

    validation_f1           macro F1 on the validation pixels: `search.select: target_validation`
    validation_probability  mean softmax probability of their true class: `search.select: target_probability`
    validation_likelihood   minus their cross entropy
    negative_entropy        minus the mean entropy at unlabelled pixels
    agreement               part of all pixels whose class is the same in all eight orientations of the scene
    joint                   mean rank by validation_f1, validation_probability and agreement
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import f1_score
from torch import Tensor

from agsgtl.config import Config, Value, configure
from agsgtl.data.labels import LabelDraw, draw_labels
from agsgtl.data.mapped import map_pair
from agsgtl.data.pairing import DomainPair
from agsgtl.errors import Diverged
from agsgtl.evaluation.metrics import macro_f1
from agsgtl.evaluation.selection import confusion_counts, negative_entropy
from agsgtl.models import folded
from agsgtl.models.networks import Segmenter, build_segmenter
from agsgtl.models.view import Orientation, View
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Record
from agsgtl.training import checkpoint
from agsgtl.training.inputs import LabelledPixels, normalised_cubes
from agsgtl.training.losses import at_pixels

JOINED: Final = ("validation_f1", "validation_probability", "agreement")
RULES: Final = (*JOINED, "validation_likelihood", "negative_entropy", "joint")
JUDGE: Final = "development_f1"
ORIENTATIONS: Final = [
    View(Orientation(flipped, transposed)) for flipped in ((), (2,), (3,), (2, 3)) for transposed in (False, True)
]


def complete_trials(results: Path, study: str) -> Iterator[tuple[TrialFolder, Record]]:
    """The complete search trials of a study, in the ledger's order."""
    for folder in Ledger(results).trials(study):
        record = folder.record()
        if record is not None and record.status == "complete":
            yield folder, record


def configured_here(settings: Mapping[str, Value], *changes: Mapping[str, Value], origin: str) -> Config:
    """A record's config, with changes, for this machine's processor: one that was made on a GPU is read anywhere."""
    return configure(settings, *changes, {"runtime.device": "cpu"}, origin=origin)


def scored_trials(results: Path, study: str) -> pd.DataFrame:
    """One row a complete trial of a study: its number, its score by every rule, and what it is worth."""
    rows = []
    for folder, record in complete_trials(results, study):
        seeds = pd.DataFrame(_of_seeds(results, folder, record))
        rows.append({"number": record.identity.number} | seeds.mean().to_dict())
    trials = pd.DataFrame(rows)
    trials["joint"] = np.mean([rankdata(trials[rule]) for rule in JOINED], axis=0)
    return trials


def _of_seeds(results: Path, folder: TrialFolder, record: Record) -> Iterator[dict[str, float]]:
    config, pair = configured_here(record.config, origin=str(folder.path)), map_pair(results, record.identity.pair)
    _, cube = normalised_cubes(pair, config.data.normalisation, "cpu")
    weights, _ = checkpoint.load(folder.checkpoint / "best.safetensors")
    for index, outcome in enumerate(record.outcomes):
        segmenter = build_segmenter(config, cube.shape[1], pair.classes, seed=0).eval()
        segmenter.load_state_dict(checkpoint.under(str(index), weights))
        draw = draw_labels(pair, config.labels.per_class, config.labels.validation_per_class, outcome.seeds.labels)
        yield _scores(
            segmenter, cube, LabelledPixels.of(draw.target_validation, "cpu"), rest_of_development(pair, draw)
        )


def rest_of_development(pair: DomainPair, draw: LabelDraw) -> LabelledPixels:
    """The development pixels that a draw uses neither for training nor for validation."""
    rest = pair.development_labels * ((draw.target_train == 0) & (draw.target_validation == 0))
    return LabelledPixels.of(rest, "cpu")


def development_f1(logits: Tensor, rest: LabelledPixels) -> float:
    """Macro F1 of logits or probabilities (1, K, H, W) at those pixels, over the classes that have some.

    Raises:
        Diverged: one of them is not finite; NaN would be some class, and count.
    """
    judged = at_pixels(logits, rest.pixels)
    if not judged.isfinite().all():
        raise Diverged("the training diverged: what the trained network says of the judged pixels is not finite")
    classes = judged.argmax(dim=1)
    return float(f1_score(rest.labels, classes, labels=rest.labels.unique(), average="macro"))


@torch.no_grad()
def _scores(segmenter: Segmenter, cube: Tensor, validation: LabelledPixels, rest: LabelledPixels) -> dict[str, float]:
    logits = folded.logits(segmenter, cube)
    judged = at_pixels(logits, validation.pixels)
    log_probabilities = judged.log_softmax(dim=1)[torch.arange(len(judged)), validation.labels]
    seen_by = folded.composed(segmenter)
    classes = torch.stack([seen_by(cube, seen=orientation).argmax(dim=1) for orientation in ORIENTATIONS])
    return {
        "validation_f1": macro_f1(confusion_counts(judged, validation.labels).numpy()),
        "validation_probability": log_probabilities.exp().mean().item(),
        "validation_likelihood": log_probabilities.mean().item(),
        "negative_entropy": negative_entropy(at_pixels(logits, torch.arange(cube[0, 0].numel()))).item(),
        "agreement": (classes == classes[:1]).all(dim=0).float().mean().item(),
        JUDGE: development_f1(logits, rest),
    }


def judged_rules(trials: pd.DataFrame, rules: Sequence[str] = RULES) -> pd.DataFrame:
    """Per rule: Spearman's correlation with the judge, and the regret: the best trial's worth minus the chosen one's."""
    best = trials[JUDGE].max()
    return pd.DataFrame(
        {
            rule: {
                "correlation": spearmanr(trials[rule], trials[JUDGE]).statistic,
                "regret": best - trials[JUDGE].iloc[int(trials[rule].argmax())],
            }
            for rule in rules
        }
    ).T


def print_rules(
    results: Path, methods: Sequence[str], scored: Callable[[Path, str], pd.DataFrame], rules: Sequence[str]
) -> None:
    """Prints a line a rule and method, by what `scored` gives for each study: means over the pairs, and the regret on each."""
    print("| method | rule | rank correlation | regret | regret by study |\n|---|---|---|---|---|")
    for method in methods:
        studies = sorted(study for study in Ledger(results).studies() if study.split("/")[0] == method)
        if not studies:
            raise SystemExit(f"{method}: has no study in {results}")
        tables = [judged_rules(scored(results, study), rules) for study in studies]
        for rule in rules:
            of_rule = pd.DataFrame([table.loc[rule] for table in tables])
            correlation, regret = of_rule.mean()
            by_study = ", ".join(f"{value:.3f}" for value in of_rule["regret"])
            print(f"| {method} | {rule} | {correlation:.2f} | {regret:.3f} | {by_study} |", flush=True)


def main() -> None:
    """Prints what each rule is worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--methods", default="agsgtl,fine_tune")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_rules(arguments.results, arguments.methods.split(","), scored_trials, RULES)


if __name__ == "__main__":
    main()
