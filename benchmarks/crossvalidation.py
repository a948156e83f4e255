"""Cross-validation over a trial's own k + v labelled pixels as a selection rule, beside one draw of labels and several.

    OMP_NUM_THREADS=1 python -m benchmarks.crossvalidation results/EXPERIMENT [--methods agsgtl] [--processes 2]

A search with more than one seed judges a trial on other labelled pixels each time. Who has k + v pixels a class and no more can
still hold out others of them: here each complete search trial is trained anew on its first seed with every other fold of v of the
k training pixels as validation, and with the former validation pixels among the training pixels. Three rules see these scores, and are
judged as in `benchmarks.selection`, on the rest of the development pool, by the weights that the trial kept on all its seeds:

    one_draw            the score on the first seed: what a search with one seed goes by
    all_draws           the mean over the trial's seeds: what this search went by
    cross_validation    the mean over the (k + v) / v folds of the first draw
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedKFold

from agsgtl.data.labels import LabelDraw, draw_labels
from agsgtl.data.mapped import map_pair
from agsgtl.errors import Diverged
from agsgtl.reporting.record import Record
from agsgtl.seedrun import SeedRun
from agsgtl.training.allocator import keep_freed_memory
from agsgtl.training.inputs import normalised_cubes, training_inputs
from agsgtl.trial import start_training
from benchmarks.selection import complete_trials, configured_here, print_rules, scored_trials

RULES: Final = ("one_draw", "all_draws", "cross_validation")
WORST: Final = 0.0
"""The score of a fold whose training diverges: the least that a rule which reads labels can give."""


def other_folds(draw: LabelDraw, per_class: int, validation_per_class: int, seed: int) -> Iterator[LabelDraw]:
    """The k / v draws of the same target pixels in which others of them validate, v a class.

    Raises:
        ValueError: k is not 2, 3, ... times v.
    """
    folds, left = divmod(per_class, validation_per_class)
    if left or folds < 2:
        raise ValueError(f"k = {per_class} training pixels a class make no folds of v = {validation_per_class}")
    labelled = draw.target_train + draw.target_validation
    pixels = np.flatnonzero(draw.target_train)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for _, held in splitter.split(pixels, labelled.flat[pixels]):
        validation = np.zeros_like(labelled)
        validation.flat[pixels[held]] = labelled.flat[pixels[held]]
        yield replace(draw, target_train=labelled - validation, target_validation=validation)


def fold_scores(results: Path, record: Record) -> list[float]:
    """The scores of a trial on its first seed, a fold each; the first is the recorded one."""
    identity, outcome = record.identity, record.outcomes[0]
    config, pair = configured_here(record.config, origin=identity.pair), map_pair(results, identity.pair)
    labels = config.labels
    draw = draw_labels(pair, labels.per_class, labels.validation_per_class, outcome.seeds.labels)
    cubes = normalised_cubes(pair, config.data.normalisation, "cpu")
    assert outcome.score is not None  # the trial is complete
    scores = [outcome.score]
    for fold in other_folds(draw, labels.per_class, labels.validation_per_class, outcome.seeds.labels):
        inputs = training_inputs(*cubes, fold, pair.classes)
        training = start_training(config, pair, identity.method, inputs, outcome.seeds, results / "pretrained")
        run = SeedRun(outcome.seeds, training, keep=config.adapt.keep)
        try:
            while not run.is_finished:
                run.advance(run.epochs + 1, record.select)
        except Diverged:
            scores.append(WORST)
        else:
            scores.append(run.score)
    return scores


def scored_by_folds(results: Path, study: str, processes: int) -> pd.DataFrame:
    """One row a complete trial of a study: its number, its score by every rule, and what it is worth."""
    records = [record for _, record in complete_trials(results, study)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_prepare_process) as pool:
        folds = list(pool.map(partial(fold_scores, results), records))
    return scored_trials(results, study).assign(  # the same trials, in the same order
        one_draw=[scores[0] for scores in folds],
        all_draws=pd.Series([record.score for record in records], dtype=float),
        cross_validation=[float(np.mean(scores)) for scores in folds],
    )


def _prepare_process() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()


def main() -> None:
    """Prints what each rule is worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--methods", default="agsgtl")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scored = partial(scored_by_folds, processes=arguments.processes)
    print_rules(arguments.results, arguments.methods.split(","), scored, RULES)


if __name__ == "__main__":
    main()
