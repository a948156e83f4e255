"""What one setting changes: a finished sweep's winners trained with it and without it, judged without test labels.

    OMP_NUM_THREADS=1 python -m benchmarks.changed results/EXPERIMENT --set adapt.adversarial_schedule=decay \
        [--methods agsgtl] [--seeds 1,2]

The settings that the sweep confirmed are trained anew on the seeds' label draws to the last epoch, as they are and with the change.
Judged is the macro F1 on the rest of the development pool (neither test pixels nor drawn for training or validation), averaged
over the classes that have some. Seeds that the sweep's search and finals used favour the settings as they are: name others. What is
worth keeping is confirmed afterwards, by an experiment with `confirm.winners`.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch

from agsgtl.config import configure, parse_overrides
from agsgtl.data.mapped import map_pair
from agsgtl.reporting.statistics import t_interval
from agsgtl.training.allocator import keep_freed_memory
from agsgtl.tuning.winners import read_winners
from benchmarks.views import worth


def main() -> None:
    """Prints a line a pair and seed, then a method's mean gain with its t interval over all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--set", action="append", required=True, dest="changes", metavar="PATH=VALUE")
    parser.add_argument("--methods", default="agsgtl")
    parser.add_argument("--seeds", default="1,2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    changes, pretrained = parse_overrides(arguments.changes), arguments.results / "pretrained"
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    winners = read_winners(arguments.results, "results")
    print("| method | pair | k | seed | F1 as it is | F1 changed |\n|---|---|---|---|---|---|")
    for name in arguments.methods.split(","):
        cells, gains = [cell for cell in sorted(winners.chosen) if cell[0] == name], []
        for cell, seed in itertools.product(cells, seeds):
            method, pair_name, per_class = cell
            pair, settings = map_pair(arguments.results, pair_name), winners.chosen[cell].config
            plain, changed = (
                100 * worth(configure(settings, more, origin=pair_name), method, pair, seed, pretrained)["one grid"]
                for more in ({}, changes)
            )
            gains.append(changed - plain)
            print(f"| {method} | {pair_name} | {per_class} | {seed} | {plain:.1f} | {changed:.1f} |", flush=True)
        interval = t_interval(gains)
        ends = f", 95 % t interval {interval[0]:+.1f} to {interval[1]:+.1f}" if interval else ""
        print(f"{name}: {np.mean(gains):+.1f} points{ends}, n = {len(gains)}")


if __name__ == "__main__":
    main()
