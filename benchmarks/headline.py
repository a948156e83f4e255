"""What a tuned configuration costs: a sweep on this machine, against looping the naive trainer over the same trials.

    python -m benchmarks.headline [--trials 40] [--epochs 40] [--results FOLDER]

The sweep tunes `agsgtl` on west to east of Indian Pines and is timed from the command to the table, confirmation left out on
both sides. The loop trains the very trials that the sweep asked, one by one with all cores, each to its last epoch and each
with a source model of its own, as a script does. It is not run: it would take hours. Its cost is the sum over the trials of
(steps the trial asks for) x (seconds of such a step of `benchmarks/naive.py`, timed here, the median of several). The naive
trainer lacks the added loss terms, so the loop's cost is a lower bound. Both end with the same best configuration unless
the sweep pruned it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from agsgtl.config import Config, configure
from agsgtl.data.labels import draw_labels
from agsgtl.data.pairing import load_pair
from agsgtl.models.networks import build_discriminator, build_segmenter
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.record import Record
from agsgtl.training.inputs import TrainingInputs, normalised_cubes, training_inputs
from agsgtl.training.losses import at_pixels, cross_entropy
from agsgtl.tuning.sweep import sweep
from benchmarks.naive import NaiveAdversarialTraining

PAIR = "indian_pines/west_to_east"
EXPERIMENT = """
name: headline
pairs: [{pair}]
trial:
  adapt.epochs: {epochs}
  adapt.early_stop: none
  adapt.train_classifier: true
  runtime.precision: bfloat16
search: {{spaces: {{agsgtl: {space}}}, trials: {trials}}}
confirm: {{methods: [agsgtl], seeds: [41]}}
"""
SPACE = Path(__file__).resolve().parent.parent / "search_spaces" / "losses.yaml"
REPEATS = 7


@dataclass(frozen=True)
class NaiveSteps:
    """Seconds of the naive trainer's steps on this machine, all cores, wall clock."""

    pretraining: float
    discriminator: float
    target: float

    def of_trial(self, config: Config, seeds: int) -> float:
        """Seconds of a whole trial: every epoch of every seed, each with a source model of its own."""
        adapt = config.adapt
        epoch = adapt.discriminator_steps * self.discriminator + adapt.target_steps * self.target
        return seeds * (config.pretrain.epochs * self.pretraining + adapt.epochs * epoch)


def time_naive_steps() -> NaiveSteps:
    """Times each kind of step on the real pair."""
    torch.set_num_threads(os.cpu_count() or 1)
    pair, config = load_pair(PAIR), configure({}, origin="benchmark")
    cubes = normalised_cubes(pair, config.data.normalisation, "cpu")
    inputs = training_inputs(*cubes, draw_labels(pair, 10, 5, 0), pair.classes)
    networks = [build_segmenter(config, inputs.bands, inputs.classes, seed=0) for _ in range(2)]
    discriminator = build_discriminator(config, inputs.classes, seed=1)
    training = NaiveAdversarialTraining(config, inputs, networks[0], networks[1], discriminator, seed=0)
    return NaiveSteps(
        pretraining=_median_s(_pretraining_epoch(config, inputs)),
        discriminator=_median_s(training._discriminator_step),
        target=_median_s(training._target_step),
    )


def _pretraining_epoch(config: Config, inputs: TrainingInputs) -> Callable[[], object]:
    segmenter = build_segmenter(config, inputs.bands, inputs.classes, seed=0)
    optimizer = torch.optim.Adam(segmenter.parameters(), lr=config.pretrain.learning_rate)
    cube = inputs.source_cube.contiguous()

    def epoch() -> None:
        segmenter.train()
        optimizer.zero_grad()
        labelled = inputs.source_train
        cross_entropy(at_pixels(segmenter(cube), labelled.pixels), labelled.labels).backward()
        optimizer.step()
        with torch.no_grad():
            segmenter.eval()(cube)

    return epoch


def _median_s(action: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def time_sweep(folder: Path, trials: int, epochs: int) -> tuple[Ledger, float]:
    """A finished sweep, and the seconds from its start to the last search trial's end."""
    file = folder / "headline.yaml"
    file.write_text(EXPERIMENT.format(pair=PAIR, epochs=epochs, space=SPACE, trials=trials))
    started = time.time()
    ledger = sweep(file, folder / "results").ledger
    ended = max(record.cost.ended_at for record in _records(ledger))
    return ledger, ended - started


def _records(ledger: Ledger) -> list[Record]:
    found = [folder.record() for folder in ledger.trials(f"agsgtl/{PAIR}/10")]
    return [record for record in found if record is not None]


def main() -> None:
    """Prints both costs and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--results", type=Path, help="an empty folder to keep the sweep in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agsgtl-headline-") as temporary:
        folder = arguments.results or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        ledger, ours = time_sweep(folder, arguments.trials, arguments.epochs)
        records = _records(ledger)
    steps = time_naive_steps()
    naive = sum(steps.of_trial(configure(record.config, origin="record"), seeds=2) for record in records)
    ended = {status: sum(record.status == status for record in records) for status in ("complete", "pruned", "failed")}
    print(f"{len(records)} trials of 2 seeds and {arguments.epochs} epochs: {ended}")
    print(
        f"naive steps, wall clock, {os.cpu_count()} threads: pre-training epoch {steps.pretraining * 1e3:.0f} ms, "
        f"discriminator {steps.discriminator * 1e3:.0f} ms, target {steps.target * 1e3:.0f} ms"
    )
    print(f"the loop of the naive trainer: {naive:.0f} s; the sweep, start to last trial: {ours:.0f} s")
    print(f"headline_ratio={naive / ours:.1f}")


if __name__ == "__main__":
    main()
