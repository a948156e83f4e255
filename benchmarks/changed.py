"""What one setting changes: a finished sweep's winners trained with it and without it, judged without test labels.

    OMP_NUM_THREADS=1 python -m benchmarks.changed results/EXPERIMENT --set adapt.adversarial_schedule=decay \
        --seeds 1,2 [--methods agsgtl]

The settings that the sweep confirmed are trained anew on the seeds' label draws to the last epoch, as they are and with the change.
Judged is the macro F1 on the rest of the development pool (neither test pixels nor drawn for training or validation), averaged
over the classes that have some. Seeds that the sweep's search and finals used favour the settings as they are, and those that it
confirms on are its tests: name others. What is worth keeping is confirmed afterwards, by an experiment with `confirm.winners`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from agsgtl.config import Value, parse_overrides
from agsgtl.data.mapped import map_pair
from agsgtl.reporting.statistics import t_interval
from agsgtl.training.allocator import keep_freed_memory
from agsgtl.training.methods import METHODS
from agsgtl.tuning.winners import Cell, Winners, read_winners
from benchmarks.selection import configured_here
from benchmarks.views import worth


def main() -> None:
    """Prints a line a pair and seed, then a method's mean gain over the pairs with its t interval over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--set", action="append", required=True, dest="changes", metavar="PATH=VALUE")
    parser.add_argument("--methods", default="agsgtl")
    parser.add_argument("--seeds", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    changes, winners = parse_overrides(arguments.changes), read_winners(arguments.results, "results")
    seeds, methods = [int(seed) for seed in arguments.seeds.split(",")], arguments.methods.split(",")
    for name in methods:
        if name not in winners.searched or not METHODS[name].reads & changes.keys():
            raise SystemExit(f"{name}: has no winner in {arguments.results}, or reads nothing of {', '.join(changes)}")
    print("| method | pair | k | seed | F1 as it is | F1 changed |\n|---|---|---|---|---|---|")
    for name in methods:
        cells = [cell for cell in sorted(winners.chosen) if cell[0] == name]
        gains = [[gain(arguments.results, winners, cell, seed, changes) for seed in seeds] for cell in cells]
        of_seeds = np.mean(gains, axis=0)  # pairs cut from one cube depend on each other: a seed is one observation
        low, high = t_interval(of_seeds) or (np.nan, np.nan)
        print(
            f"{name}: {of_seeds.mean():+.1f} points, 95 % t interval {low:+.1f} to {high:+.1f}, n = {len(seeds)} seeds"
        )


def gain(results: Path, winners: Winners, cell: Cell, seed: int, changes: Mapping[str, Value]) -> float:
    """Percent points of macro F1 that the changes give one winner on one draw; prints both values."""
    method, name, per_class = cell
    pair, pretrained = map_pair(results, name), results / "pretrained"
    configs = [configured_here(winners.chosen[cell].config, more, origin=name) for more in ({}, changes)]
    plain, changed = (100 * worth(config, method, pair, seed, pretrained)["one grid"] for config in configs)
    print(f"| {method} | {name} | {per_class} | {seed} | {plain:.1f} | {changed:.1f} |", flush=True)
    return changed - plain


if __name__ == "__main__":
    main()
