"""What a checkpoint costs the trial that waits for it, by the networks' width: two seeds of `agsgtl`, 144 bands.

    python -m benchmarks.checkpoints

A trial saves one every 20 s at most, so a save of 200 ms is one per cent of its time. Both of its files are timed and
measured: all that going on needs, and the kept weights alone. *Synced* also waits for the disk with the latter, as a trial's
last save does.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from agsgtl.config import configure
from agsgtl.laststate import CHECKPOINT_EVERY_S, LastState
from agsgtl.reporting.ledger import TrialFolder
from agsgtl.seedrun import SeedRun
from agsgtl.seeds import Seeds
from agsgtl.training.inputs import LabelledPixels, TrainingInputs
from agsgtl.training.methods import METHODS

WIDTHS = ((16, 32), (64, 64), (256, 256))
REPEATS = 5


def trained(width: int, discriminator_width: int) -> list[SeedRun]:
    """Two seeds after one small epoch, so that the optimisers hold their moments and weights are kept."""
    cube = torch.zeros(1, 144, 16, 16).contiguous(memory_format=torch.channels_last)
    labelled = LabelledPixels.of(1 + np.arange(256).reshape(16, 16) % 6, "cpu")
    inputs = TrainingInputs(cube, cube, labelled, labelled, labelled, labelled, torch.arange(256), 6)
    values = {
        "model.width": width,
        "model.discriminator_width": discriminator_width,
        "adapt.discriminator_steps": 1,
        "adapt.target_steps": 1,
    }
    config = configure(values, origin="benchmark")
    runs = []
    for seed in range(2):
        source = METHODS["target_only"].start(config, inputs, {}, seed).weights()
        training = METHODS["agsgtl"].start(config, inputs, source, seed)
        runs.append(SeedRun(Seeds(labels=seed, init=seed), training, keep="best_validation"))
        runs[-1].advance(1, "target_validation")
    return runs


def seconds(runs: list[SeedRun], last: LastState, keeps: bool) -> float:
    """The median of some saves."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        last.save(runs, epoch=1, keeps=keeps)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Prints a table."""
    torch.set_num_threads(1)
    print(f"load {os.getloadavg()[0]:.1f}\n\n| widths | files | saved | of 20 s | synced |\n|---|---|---|---|---|")
    for widths in WIDTHS:
        runs = trained(*widths)
        with tempfile.TemporaryDirectory() as temporary:
            folder = TrialFolder(Path(temporary))
            last = LastState(folder.start_attempt(), "benchmark")
            plain, synced = (seconds(runs, last, keeps) for keeps in (False, True))
            size = sum(file.stat().st_size for file in folder.checkpoint.iterdir()) / 2**20
        share = plain / CHECKPOINT_EVERY_S
        print(
            f"| {widths[0]}, {widths[1]} | {size:.1f} MiB | {1000 * plain:.0f} ms | {share:.2%} | {1000 * synced:.0f} ms |"
        )


if __name__ == "__main__":
    main()
