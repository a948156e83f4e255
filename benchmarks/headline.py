"""What a tuned configuration costs: a sweep on this machine, against looping the naive trainer over the same trials.

    python -m benchmarks.headline [--trials 40] [--epochs 40] [--pretraining 200] [--seeds 2] [--precision bfloat16]
    python -m benchmarks.headline --size 349x1905x144 [--confirmed-on-scene]

The sweep tunes `agsgtl` on west to east of Indian Pines, or on a made-up pair of the given size in windows around its labels
(`adapt.extent`), and is timed from the command to the last trial's end. Confirmation is left out on both sides; the
winner's score is printed, and with `--confirmed-on-scene` that of the same winner trained on the whole scene, as the loop
would have trained it. The loop trains the very trials that the sweep asked, one by one with all cores, each to its last epoch and each
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from agsgtl.yamlfile import write_yaml
from benchmarks.epoch import scene_size
from benchmarks.madepair import write_pair
from benchmarks.naive import NaiveAdversarialTraining

INDIAN_PINES = "indian_pines/west_to_east"
SEEDS = [41, 50]
"""Of the confirmation."""

SPACE = Path(__file__).resolve().parent.parent / "search_spaces" / "losses.yaml"


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


def time_naive_steps(name: str, repeats: int) -> NaiveSteps:
    """Times each kind of step on the pair: the median of so many, after one that warms up."""
    torch.set_num_threads(os.cpu_count() or 1)
    pair, config = load_pair(name), configure({}, origin="benchmark")
    cubes = normalised_cubes(pair, config.data.normalisation, "cpu")
    inputs = training_inputs(*cubes, draw_labels(pair, 10, 5, 0), pair.classes)
    networks = [build_segmenter(config, inputs.bands, inputs.classes, seed=0) for _ in range(2)]
    discriminator = build_discriminator(config, inputs.classes, seed=1)
    training = NaiveAdversarialTraining(config, inputs, networks[0], networks[1], discriminator, seed=0)
    return NaiveSteps(
        pretraining=_median_s(_pretraining_epoch(config, inputs), repeats),
        discriminator=_median_s(training._discriminator_step, repeats),
        target=_median_s(training._target_step, repeats),
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


def _median_s(action: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def searched(pair: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """The experiment that is timed."""
    return {
        "name": "headline",
        "pairs": [pair],
        "trial": {
            "pretrain.epochs": chosen.pretraining,
            "adapt.epochs": chosen.epochs,
            "adapt.early_stop": "none",
            "adapt.train_classifier": True,
            "adapt.extent": "windows" if chosen.size else "scene",
            "runtime.precision": chosen.precision,
        },
        "search": {"spaces": {"agsgtl": str(SPACE)}, "trials": chosen.trials, "seeds": list(range(chosen.seeds))},
        "confirm": {"methods": ["agsgtl"], "seeds": SEEDS},
    }


def on_scene(pair: str, winners: Ledger) -> dict[str, Any]:
    """The winner of a search in windows, trained on the whole scene."""
    confirm = {"winners": str(winners.path), "methods": ["agsgtl"], "seeds": SEEDS}
    trial = {"adapt.extent": "scene"}
    return {"name": "on_scene", "pairs": [pair], "trial": trial, "search": {"spaces": {}}, "confirm": confirm}


def swept(experiment: dict[str, Any], folder: Path) -> Ledger:
    """The ledger of the finished experiment."""
    file = folder / f"{experiment['name']}.yaml"
    file.write_text(write_yaml(experiment))
    return sweep(file, folder / "results").ledger


def _records(ledger: Ledger) -> list[Record]:
    found = [folder.record() for study in ledger.studies() for folder in ledger.trials(study)]
    return [record for record in found if record is not None]


def charged(records: Sequence[Record]) -> list[Record]:
    """The trials that the loop pays for: a pruned one to its last epoch, a failed one not at all, since it fails there too."""
    return [record for record in records if record.status in ("complete", "pruned")]


def _confirmed(ledger: Ledger) -> str:
    scores = [folder.scores()[0].macro_f1 for folder in ledger.confirmations()]
    return " and ".join(f"{100 * score:.1f}" for score in scores)


def main() -> None:
    """Prints both costs, their ratio, and what the winner is worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--pretraining", type=int, default=200, help="epochs")
    parser.add_argument("--seeds", type=int, default=2, help="of a trial")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--size", help="of a made-up pair: height x width x bands")
    parser.add_argument("--confirmed-on-scene", action="store_true")
    parser.add_argument("--repeats", type=int, default=7, help="of each naive step")
    parser.add_argument("--results", type=Path, help="an empty folder to keep everything in")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agsgtl-headline-") as temporary:
        folder = (chosen.results or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        report(_pair(chosen.size, folder), chosen, folder)


def _pair(size: str | None, folder: Path) -> str:
    if size is None:
        return INDIAN_PINES
    return str(write_pair(folder, scene_size(size)))


def report(pair: str, chosen: argparse.Namespace, folder: Path) -> None:
    """Runs and prints everything."""
    started = time.time()
    ledger = swept(searched(pair, chosen), folder)
    records = _records(ledger)
    ours = max(record.cost.ended_at for record in records) - started
    steps = time_naive_steps(pair, chosen.repeats)
    naive = sum(steps.of_trial(configure(record.config, origin="record"), chosen.seeds) for record in charged(records))
    ended = {status: sum(record.status == status for record in records) for status in ("complete", "pruned", "failed")}
    print(f"{len(records)} trials of {chosen.seeds} seeds, {chosen.pretraining} + {chosen.epochs} epochs: {ended}")
    print(
        f"naive steps, wall clock, {os.cpu_count()} threads: pre-training epoch {steps.pretraining * 1e3:.0f} ms, "
        f"discriminator {steps.discriminator * 1e3:.0f} ms, target {steps.target * 1e3:.0f} ms"
    )
    print(f"the loop of the naive trainer: {naive:.0f} s; the sweep, start to last trial: {ours:.0f} s")
    print(f"the winner's macro F1 on the test pool, seeds {SEEDS}: {_confirmed(ledger)}")
    print(f"headline_ratio={naive / ours:.1f}", flush=True)
    if chosen.confirmed_on_scene:
        print(f"the same winner trained on the whole scene: {_confirmed(swept(on_scene(pair, ledger), folder))}")


if __name__ == "__main__":
    main()
