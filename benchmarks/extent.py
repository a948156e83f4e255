"""What `adapt.extent: windows` costs and gives against `scene`: macro F1 on Indian Pines, seconds at Houston's size.

    python -m benchmarks.extent houston                 processor seconds of one epoch of each
    python -m benchmarks.extent scores FOLDER [LIMIT_S] trains what FOLDER lacks, then prints the paired differences

`scores` may be stopped at any time, and begins no training after LIMIT_S; the same command goes on. Its third arm,
`apart`, gives every labelled pixel's neighbourhood windows of the smallest size even where the scene would be cheaper: on
scenes as small as these, windows as a user gets them hold the whole target.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from agsgtl.config import Value, configure, flatten
from agsgtl.data.mapped import map_pair, unpack_pair
from agsgtl.data.pairing import load_pair
from agsgtl.models.networks import build_segmenter
from agsgtl.reporting.ledger import Ledger
from agsgtl.reporting.record import Identity, Setup
from agsgtl.reporting.statistics import compare_over_pairs
from agsgtl.seeds import Seeds
from agsgtl.training import windows
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.training.inputs import LabelledPixels, TrainingInputs, as_networks_read
from agsgtl.training.methods import METHODS
from agsgtl.trial import Place, ensure_source_model, make_ask, run_trial
from agsgtl.tuning.confirm import score_records
from agsgtl.tuning.lease import only_driver

PAIRS: Final = ("west_to_east", "east_to_west", "north_to_south", "south_to_north", "notill_to_mintill")
SEEDS: Final = (1, 2, 3, 4, 5)
Run = tuple[float, float]
"""Macro F1 and processor seconds."""
GOOD: Final[Mapping[str, Value]] = {
    "pretrain.epochs": 100,
    "adapt.epochs": 40,
    "adapt.discriminator_steps": 5,
    "adapt.target_learning_rate": 7e-4,
    "adapt.train_classifier": True,
    "adapt.early_stop": "none",
    "loss.target_segmentation": 20.0,
}
ARMS: Final[Mapping[str, Mapping[str, Value]]] = {
    "scene": {},
    "windows": {"adapt.extent": "windows"},
    "apart": {"adapt.extent": "windows", "adapt.source_pixels_per_class": 10},
}


def houston() -> None:
    """Prints the seconds of an epoch on made-up cubes of Houston's size, with labelled pixels in fields and scattered."""
    scattered = fake_houston(field=1)
    whole = seconds("scene", scattered)
    for name, inputs in (("fields", fake_houston(field=4)), ("scattered", scattered)):
        print(f"{name}: scene / windows = {whole / seconds('windows', inputs):.1f}", flush=True)


def seconds(arm: str, inputs: TrainingInputs) -> float:
    """The median processor seconds of three epochs, each with its validation score."""
    config = configure(GOOD, ARMS[arm], origin="benchmark")
    source = build_segmenter(config, inputs.bands, inputs.classes, seed=0).state_dict()
    training = METHODS["agsgtl"].start(config, inputs, source, 0)
    assert isinstance(training, AdversarialTraining)
    source_part = training.source_parts.of(training.source_features, epoch=1)
    for side, maps in (("target", training.part.maps), ("source", source_part.maps)):
        share = maps[:, 0].numel() / inputs.target_cube[0, 0].numel()
        print(
            f"  {side}: {len(maps)} of {maps.shape[2]} x {maps.shape[3]} pixels, {share:.1%} of the scene", flush=True
        )
    times = []
    for epoch in (1, 2, 3):
        started = time.process_time()
        training.train_epoch(epoch)
        training.target_logits_at(inputs.target_validation.pixels)
        times.append(time.process_time() - started)
    print(f"  {arm}: {np.median(times):.2f} s an epoch (processor, median of 3)", flush=True)
    return float(np.median(times))


def fake_houston(field: int) -> TrainingInputs:
    """Noise of 349 x 1905 x 144; 6 classes: 189 source pixels a class anywhere (2832 of 15 classes at Houston), 10 + 5
    target pixels a class in 500 columns, as wide as Houston's shadow is.

    Labelled source pixels fill fields of `field` x `field` pixels; target pixels are drawn from 8 such fields a class.
    """
    height, width, bands, classes = 349, 1905, 144, 6
    rng = np.random.default_rng(0)

    def pixels(fields: int, count: int, first: int, last: int) -> NDArray[np.int64]:
        """(classes, count) different pixels out of as many fields a class."""
        cells = rng.permutation((height // field) * ((last - first) // field))[: classes * fields]
        rows, columns = np.divmod(cells, (last - first) // field)
        inside = np.arange(field)
        everything = (
            (rows[:, None, None] * field + inside[:, None]) * width + columns[:, None, None] * field + first + inside
        )
        return rng.permuted(everything.reshape(classes, -1), axis=1)[:, :count]

    def labelled(chosen: NDArray[np.int64]) -> LabelledPixels:
        labels = np.repeat(np.arange(classes), chosen.shape[1])
        return LabelledPixels(torch.from_numpy(chosen.reshape(-1)), torch.from_numpy(labels))

    cube = as_networks_read(rng.standard_normal((height, width, bands), dtype=np.float32))
    source = pixels(189 // field**2 + 1, 189, 0, width)
    target = pixels(8 if field > 1 else 15, 15, 1050, 1550)
    return TrainingInputs(
        source_cube=cube,
        target_cube=cube,
        source_train=labelled(source[:, :151]),
        source_validation=labelled(source[:, 151:]),
        target_train=labelled(target[:, :10]),
        target_validation=labelled(target[:, 10:]),
        unlabelled=torch.from_numpy(np.setdiff1d(np.arange(height * width), target[:, :10])),
        classes=classes,
    )


def scores(folder: Path, arms: list[str], limit_s: float) -> None:
    """Trains what is missing, pair by pair and seed by seed, all arms side by side; then prints."""
    started = time.monotonic()
    for seed in SEEDS:
        for pair in PAIRS:
            for arm in arms:
                if time.monotonic() - started < limit_s:
                    train(folder, arm, f"indian_pines/{pair}", seed)
    for arm in arms[1:]:
        compare(folder, arm)


def train(folder: Path, arm: str, name: str, seed: int) -> None:
    """Trains and scores one run, unless its scores are there; each look at test labels is in the folder's vault log."""
    ledger, identity = identify(folder, arm, name, seed)
    place = ledger.folder(identity)
    if place.scores():
        return
    unpack_pair(load_pair(name), ledger.path)
    pair, config = map_pair(ledger.path, name), configure(GOOD, ARMS[arm], origin="benchmark")
    setup = Setup(identity=identity, seeds=(Seeds(labels=seed, init=seed),))
    if place.ask() is None:
        place.write_ask(make_ask(flatten(config), pair, setup))
    source_models = folder / "pretrained"
    ensure_source_model(config, pair, setup.seeds[0], source_models)
    growth = (1.0,) if arm == "apart" else windows.GROWTH  # the smallest windows of all, however many
    with mock.patch.object(windows, "GROWTH", growth):
        record = run_trial(config, pair, setup, Place(place, source_models, raises=True))
    with only_driver(ledger) as lease:
        score_records([place], ledger, {}, "evaluate", lease)
    macro_f1 = place.scores()[0].macro_f1
    print(f"{arm:8} {name} seed {seed}: macro F1 {macro_f1:.3f}, {record.cost.cpu_s:.0f} s", flush=True)


def identify(folder: Path, arm: str, name: str, seed: int) -> tuple[Ledger, Identity]:
    identity = Identity(experiment=arm, kind="confirm", method="agsgtl", pair=name, per_class=10, number=seed)
    return Ledger(folder / arm), identity


def compare(folder: Path, arm: str) -> None:
    """Prints macro F1 of an arm and of `scene` by pair over the seeds that both have, and the paired differences.

    Over all pairs a seed is one observation, as in the tables: pairs cut from one cube depend on each other.
    """
    print(f"\n| pair | seeds | scene | {arm} | {arm} - scene, 95 % t interval | s a run: scene | {arm} |")
    print("|---|---|---|---|---|---|---|")
    sides: list[dict[str, dict[int, Run]]] = [
        {pair: runs(folder, name, pair) for pair in PAIRS} for name in ("scene", arm)
    ]
    for pair in PAIRS:
        print_row(pair, *([side[pair]] for side in sides))
    print_row("all", *(list(side.values()) for side in sides))


def runs(folder: Path, arm: str, pair: str) -> dict[int, Run]:
    """By seed macro F1 and processor seconds of the runs that are there."""
    found = {}
    for seed in SEEDS:
        ledger, identity = identify(folder, arm, f"indian_pines/{pair}", seed)
        place = ledger.folder(identity)
        record = place.record()
        if record and place.scores():
            found[seed] = (place.scores()[0].macro_f1, record.cost.cpu_s)
    return found


def print_row(name: str, scene: list[dict[int, Run]], other: list[dict[int, Run]]) -> None:
    """One line; nothing where no seed has every pair on both sides."""
    seeds = set.intersection(*(set(of_pair) for of_pair in (*scene, *other)))
    paired = [[{seed: of_pair[seed] for seed in seeds} for of_pair in side] for side in (other, scene)]
    test = compare_over_pairs(*([{seed: run[0] for seed, run in one.items()} for one in side] for side in paired))
    if test is None:
        return
    low, high = test.interval or (np.nan, np.nan)
    means = [np.mean([run for one in side for run in one.values()], axis=0) for side in reversed(paired)]
    print(
        f"| {name} | {test.n} | {means[0][0]:.3f} | {means[1][0]:.3f} | {test.difference:+.3f} ({low:+.3f} to {high:+.3f}) "
        f"| {means[0][1]:.0f} | {means[1][1]:.0f} |"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["houston"]:
        houston()
    else:
        limit = float(sys.argv[3]) if len(sys.argv) > 3 else float("inf")
        scores(Path(sys.argv[2]), sys.argv[4:] or ["scene", "windows"], limit)
