"""What random views give: a finished sweep's best search trials trained with and without them, judged without test labels.

    OMP_NUM_THREADS=1 python -m benchmarks.views results/EXPERIMENT [--methods fine_tune] [--seeds 1,2]

The settings of each study's best trial by the selection score are trained anew on the seeds' label draws to the last epoch: on
a fixed grid; with `adapt.pooling_grid: random`; and for `agsgtl` with `adapt.discriminator_view: random` besides. Judged is the
macro F1 on the rest of the development pool (neither test pixels nor drawn for training or validation), averaged over the
classes that have some: of the class map as the network gives it, and of the mean softmax over the sixteen grids on which a
shallow network can pool (cycle spinning; Coifman and Donoho 1995, Translation-Invariant De-Noising).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from agsgtl.config import Config
from agsgtl.data.labels import draw_labels
from agsgtl.data.mapped import map_pair
from agsgtl.data.pairing import DomainPair
from agsgtl.models import folded
from agsgtl.models.networks import Segmenter, build_segmenter
from agsgtl.models.reach import STRIDES
from agsgtl.models.view import PoolingGrid, View
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.record import Record
from agsgtl.seeds import Seeds
from agsgtl.training.allocator import keep_freed_memory
from agsgtl.training.methods import METHODS
from agsgtl.trial import source_inputs, start_training
from benchmarks.selection import complete_trials, configured_here, development_f1, rest_of_development

VARIANTS: dict[str, dict[str, str]] = {
    "fixed": {"adapt.pooling_grid": "fixed", "adapt.discriminator_view": "fixed"},
    "random grid": {"adapt.pooling_grid": "random", "adapt.discriminator_view": "fixed"},
    "random grid, discriminator too": {"adapt.pooling_grid": "random", "adapt.discriminator_view": "random"},
}
"""Each names both settings: the trial that is trained anew may have had either of them random."""


def winner(results: Path, study: str) -> Record:
    """The complete trial of a study with the best selection score."""
    records = [record for _, record in complete_trials(results, study)]
    return max(records, key=lambda record: record.score or 0.0)


def changes(views: str, method: str) -> dict[str, str] | None:
    """What a variant changes of what the method reads; None where the method does not read what it makes random."""
    variant, reads = VARIANTS[views], METHODS[method].reads
    if any(value == "random" and path not in reads for path, value in variant.items()):
        return None
    return {path: value for path, value in variant.items() if path in reads}


def worth(config: Config, method: str, pair: DomainPair, seed: int, source_models: Path) -> dict[str, float]:
    """Macro F1 of the method, trained to its last epoch on one draw: plainly, and averaged over the grids.

    Raises:
        Diverged: the trained network's logits are not finite.
    """
    seeds = Seeds(labels=seed, init=seed)
    inputs = source_inputs(config, pair, seeds)
    training = start_training(config, pair, method, inputs, seeds, source_models)
    for epoch in range(1, training.epochs + 1):
        training.train_epoch(epoch)
    segmenter = build_segmenter(config, inputs.bands, inputs.classes, seed=0).eval()
    segmenter.load_state_dict(training.weights())
    draw = draw_labels(pair, config.labels.per_class, config.labels.validation_per_class, seed)
    rest = rest_of_development(pair, draw)
    places = range(STRIDES[config.model.family])
    grids = [PoolingGrid(rows, columns) for rows in places for columns in places]
    return {
        "one grid": development_f1(_seen(segmenter, inputs.target_cube, grids[:1]), rest),
        "mean over grids": development_f1(_seen(segmenter, inputs.target_cube, grids), rest),
    }


@torch.no_grad()
def _seen(segmenter: Segmenter, cube: Tensor, grids: list[PoolingGrid]) -> Tensor:
    logits = folded.composed(segmenter)
    return torch.stack([logits(cube, seen=View(grid=grid)).softmax(dim=1) for grid in grids]).mean(dim=0)


def main() -> None:
    """Prints a line a study and grid, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--methods", default="fine_tune")
    parser.add_argument("--seeds", default="1,2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    studies = [s for s in Ledger(arguments.results).studies() if s.split("/")[0] in arguments.methods.split(",")]
    rows = []
    print("| study | views | seed | F1 on one grid | F1, mean over grids |\n|---|---|---|---|---|")
    for study, views, seed in itertools.product(sorted(studies), VARIANTS, seeds):
        record = winner(arguments.results, study)
        pair, method = map_pair(arguments.results, record.identity.pair), record.identity.method
        changed = changes(views, method)
        if changed is None:
            continue
        config = configured_here(record.config, changed, origin=study)
        found = worth(config, method, pair, seed, arguments.results / "pretrained")
        rows.append({"method": method, "views": views} | found)
        print(f"| {study} | {views} | {seed} | {' | '.join(f'{100 * f1:.1f}' for f1 in found.values())} |", flush=True)
    means = pd.DataFrame(rows).groupby(["method", "views"], sort=False).mean()
    for method, views, *means_by_grid in means.reset_index().itertuples(index=False):
        print(f"| {method}, mean | {views} | | {' | '.join(f'{100 * f1:.1f}' for f1 in means_by_grid)} |")


if __name__ == "__main__":
    main()
