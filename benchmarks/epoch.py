"""An epoch of the adaptation against the naive baseline, side by side in one run; ends with `exact_ratio_median=...`.

    python -m benchmarks.epoch [--size 200x300x144] [--device cpu|cuda] [--threads 1] [--rounds 5] [--precision float32]

With `--precision float32` the bfloat16 trainer is left out: a processor without instructions for it needs minutes an epoch.

Each trainer lives in a process of its own, prepared as a user's would be; the naive one has the same arithmetic, but no allocator
that keeps freed memory. Every round runs one epoch (20 discriminator steps, 5 target steps, the authors' settings) of each in
turn, on the same made-up scene; a ratio is of one round's two times, so a machine that slows down slows both. Time is the
process's processor time on a CPU (other work on the machine does not count), and wall-clock time between synchronisations on a GPU.
There the naive trainer runs a second time as PyTorch comes: convolutions in TF32, kernels that may sum in another order each time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import numpy as np
import torch
from numpy.typing import NDArray

from agsgtl.config import Config, configure
from agsgtl.models.networks import Segmenter, build_discriminator, build_segmenter, placed
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.training.inputs import LabelledPixels, TrainingInputs, as_networks_read
from agsgtl.trial import prepare_process, settle_arithmetic
from benchmarks.naive import NaiveAdversarialTraining

CLASSES = 6
SOURCE_PIXELS, TARGET_PIXELS = 2400, 60
WARM_UP_EPOCHS = 2
"""A GPU records its steps in the first epoch, and once more in the second one, when the target's features have moved."""
MATRIX = {"cpu": 1024, "cuda": 8192}
COPIED = {"cpu": 2**26, "cuda": 2**30}
"""Rows of the matrices, and bytes of the copy, by which a device's two paces are measured: far beyond its caches."""
AS_IT_COMES = "naive, TF32"
"""The naive trainer on a GPU with PyTorch's own settings."""
TRAINERS: dict[str, tuple[type, str]] = {
    "naive": (NaiveAdversarialTraining, "float32"),
    AS_IT_COMES: (NaiveAdversarialTraining, "float32"),
    "exact": (AdversarialTraining, "float32"),
    "bfloat16": (AdversarialTraining, "bfloat16"),
}


def made_up_inputs(size: tuple[int, int, int], device: str, seed: int = 0) -> TrainingInputs:
    """Two scenes of (height, width, bands) with a spectrum a class and noise, labels spread over them."""
    generator = np.random.default_rng(seed)
    height, width, bands = size
    spectra = generator.standard_normal((CLASSES, bands)).astype(np.float32)
    scenes = []
    for shift, count in ((0.0, SOURCE_PIXELS), (0.5, TARGET_PIXELS)):
        truth = np.kron(generator.integers(0, CLASSES, (height // 8 + 1, width // 8 + 1)), np.ones((8, 8), int))
        truth = truth[:height, :width]
        cube = spectra[truth] + shift + generator.standard_normal((height, width, bands)).astype(np.float32)
        labels = np.zeros(height * width, np.uint8)
        drawn = generator.choice(height * width, count, replace=False)
        labels[drawn] = truth.reshape(-1)[drawn] + 1
        scenes.append(
            (
                as_networks_read(cube, device),
                LabelledPixels.of(labels.reshape(height, width), device),
            )
        )
    (source, source_labels), (target, target_labels) = scenes
    everything = torch.arange(height * width, device=device)
    labelled = (source_labels, source_labels, target_labels, target_labels)
    return TrainingInputs(source, target, *labelled, unlabelled=everything, classes=CLASSES)


def start(trainer: str, inputs: TrainingInputs, device: str) -> AdversarialTraining | NaiveAdversarialTraining:
    """A trainer on the same initial weights as the others."""
    kind, precision = TRAINERS[trainer]
    config = configure({"runtime.device": device, "runtime.precision": precision}, origin="benchmark")
    discriminator = placed(build_discriminator(config, CLASSES, seed=1), device)
    return kind(config, inputs, _segmenter(config, inputs), _segmenter(config, inputs), discriminator, seed=0)  # type: ignore[no-any-return]


def _segmenter(config: Config, inputs: TrainingInputs) -> Segmenter:
    return placed(build_segmenter(config, inputs.bands, CLASSES, seed=0), inputs.target_cube.device)


def seconds(action: Callable[[], object], device: str) -> float:
    """What the action took: processor time on a CPU, wall-clock time on a GPU."""
    if device == "cpu":
        started = time.process_time()
        action()
        return time.process_time() - started
    torch.cuda.synchronize()
    started = time.perf_counter()
    action()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def timed_epoch(
    training: AdversarialTraining | NaiveAdversarialTraining, epoch: int, device: str
) -> tuple[float, torch.Tensor]:
    """Seconds of an epoch, and its losses step by step."""
    steps: list[torch.Tensor] = []
    taken = seconds(lambda: steps.extend(training.train_steps(epoch)), device)
    return taken, torch.cat([losses.float().cpu() for losses in steps])


def matrix_peak(device: str, dtype: torch.dtype) -> float:
    """Operations a second of the best of ten square matrix products: the machine's measured peak."""
    rows = MATRIX[device]
    left, right = (torch.randn(rows, rows, device=device).to(dtype) for _ in range(2))
    times = [seconds(lambda: left @ right, device) for _ in range(12)]
    return 2 * rows**3 / min(times[2:])


def bandwidth(device: str) -> float:
    """Bytes a second, read and written, of the best of ten large copies."""
    one = torch.randn(COPIED[device] // 4, device=device)
    other = torch.empty_like(one)
    times = [seconds(lambda: other.copy_(one), device) for _ in range(12)]
    return 2 * COPIED[device] / min(times[2:])


def operations(pixels: int, bands: int) -> float:
    """Multiplications and additions of an epoch's 3x3 convolutions at the authors' widths, counted from the schedule.

    A backward pass costs a forward pass for the weights, and another one for the input where it is wanted. Decoders, gates and
    everything elementwise are left out: a lower bound.
    """
    return 2.0 * pixels * _over_an_epoch(bands, lambda inputs, outputs: 9 * inputs * outputs)


def least_bytes(pixels: int, bands: int, bytes_a_number: int) -> float:
    """What the same convolutions must move of an epoch's maps: each reads its input once and writes its output once.

    Backwards it reads both for the weights, and both once more (one of them to write) where the input wants a gradient. Norms,
    ReLUs, poolings, decoders and gates would have to be part of the convolutions to cost nothing more: a lower bound.
    """
    return bytes_a_number * pixels * _over_an_epoch(bands, lambda inputs, outputs: inputs + outputs)


def _over_an_epoch(bands: int, cost: Callable[[int, int], float]) -> float:
    """A convolution's cost a pixel, by its inputs and outputs, summed over the authors' schedule at their widths.

    No gradient is wanted of the first convolution's input, nor of frozen weights; a network's third convolution sees a quarter
    of the pixels.
    """
    f, d = 16, 32

    def rest(width: int) -> float:
        return cost(width, width) + cost(width, 2 * width) / 4

    discriminator_step = 2 * (2 * cost(f, d) + 3 * rest(d))  # both domains; the features need no gradient
    target_step = 2 * cost(bands, f) + 3 * rest(f) + 2 * (cost(f, d) + rest(d))  # nor do the discriminator's weights
    inference = cost(bands, f) + rest(f)
    return 20 * discriminator_step + 5 * target_step + inference


def loss_difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The mean of |a - b| over two loss curves, relative to the mean of |a|."""
    return float(np.abs(one - other).mean() / np.abs(one).mean())


def serve(trainer: str, size: tuple[int, int, int], device: str, threads: int, orders: Connection) -> None:
    """Runs an epoch for each number that comes, and answers with its seconds, losses and MiB of a GPU, until None comes."""
    torch.set_num_threads(threads)
    if trainer != AS_IT_COMES:
        prepare = settle_arithmetic if trainer == "naive" else prepare_process  # its memory is as PyTorch leaves it
        prepare(configure({"runtime.device": device, "runtime.threads": threads}, origin="benchmark"))
    training = start(trainer, made_up_inputs(size, device), device)
    while (epoch := orders.recv()) is not None:
        taken, losses = timed_epoch(training, epoch, device)
        orders.send((taken, losses.numpy(), torch.cuda.max_memory_reserved() / 2**20 if device == "cuda" else 0.0))


@contextmanager
def served(
    trainers: Sequence[str], size: tuple[int, int, int], device: str, threads: int
) -> Iterator[dict[str, Connection]]:
    """A line to a process of each trainer."""
    context = multiprocessing.get_context("spawn")
    lines, processes = {}, []
    for trainer in trainers:
        lines[trainer], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(trainer, size, device, threads, theirs), daemon=True))
        processes[-1].start()
    yield lines
    for line, process in zip(lines.values(), processes, strict=True):
        line.send(None)
        process.join()


@dataclass
class Run:
    """A trainer's seconds and losses, epoch by epoch, and the MiB that it reserved of a GPU at most."""

    seconds: list[float] = field(default_factory=list)
    curves: list[NDArray[np.float32]] = field(default_factory=list)
    memory: float = 0.0

    @property
    def timed(self) -> list[float]:
        """The seconds of the epochs after the warm-up."""
        return self.seconds[WARM_UP_EPOCHS:]

    def ratios(self, naive: Run) -> list[float]:
        """How many times faster than the naive trainer's epoch of the same round."""
        return [theirs / ours for theirs, ours in zip(naive.timed, self.timed, strict=True)]


def run_in_turn(
    trainers: Sequence[str], size: tuple[int, int, int], device: str, threads: int, rounds: int
) -> dict[str, Run]:
    """An epoch of each trainer in every round, after those that warm up."""
    runs = {name: Run() for name in trainers}
    with served(trainers, size, device, threads) as lines:
        for epoch in range(1, WARM_UP_EPOCHS + rounds + 1):
            for name, line in lines.items():
                line.send(epoch)
                taken, losses, runs[name].memory = line.recv()
                runs[name].seconds.append(taken)
                runs[name].curves.append(losses)
    return runs


def print_paces(runs: Mapping[str, Run], size: tuple[int, int, int], device: str) -> None:
    """Prints the floors and the table."""
    height, width, bands = size
    work, pace = operations(height * width, bands), bandwidth(device)
    dtypes = {name: getattr(torch, TRAINERS[name][1]) for name in runs}
    peaks = {dtype: matrix_peak(device, dtype) for dtype in set(dtypes.values())}
    said = ", ".join(f"{str(dtype).removeprefix('torch.')} {peak / 1e9:.0f}" for dtype, peak in peaks.items())
    print(f"at least {work / 1e9:.0f} x 10^9 operations an epoch; a copy moves {pace / 1e9:.0f} x 10^9 bytes a second")
    print(f"10^9 operations a second of a matrix product: {said}\n")
    print(
        "| trainer | s an epoch, median (range) | first two epochs, s | times faster than naive, median (range) "
        "| share of matrix peak | share of bandwidth | GPU memory, MiB |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, run in runs.items():
        dtype, median = dtypes[name], statistics.median(run.timed)
        moved = least_bytes(height * width, bands, dtype.itemsize)
        shares = (work / peaks[dtype] / median, moved / pace / median)
        first = f"{sum(run.seconds[:WARM_UP_EPOCHS]):.2f}"
        row = (name, spread(run.timed, 3), first, spread(run.ratios(runs["naive"]), 2))
        print("|", *(f"{cell} |" for cell in (*row, *(f"{share:.1%}" for share in shares), f"{run.memory:.0f}")))


def scene_size(text: str) -> tuple[int, int, int]:
    """The (height, width, bands) in a text like 349x1905x144."""
    height, width, bands = (int(part) for part in text.split("x"))
    return height, width, bands


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="200x300x144", help="height x width x bands; Houston is 349x1905x144")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"], help="the lowest one timed")
    arguments = parser.parse_args()
    device = arguments.device
    trainers = [name for name, (_, precision) in TRAINERS.items() if precision in ("float32", arguments.precision)]
    if device == "cpu":
        trainers.remove(AS_IT_COMES)
    torch.set_num_threads(arguments.threads)
    size, threads, rounds = scene_size(arguments.size), arguments.threads, arguments.rounds
    runs = run_in_turn(trainers, size, device, threads, rounds)
    where = device if device == "cpu" else torch.cuda.get_device_name()
    print(f"scene {arguments.size}, {where}, {threads} threads, {rounds} rounds after {WARM_UP_EPOCHS}")
    print_paces(runs, size, device)
    for name in trainers[1:]:
        difference = loss_difference(np.concatenate(runs["naive"].curves), np.concatenate(runs[name].curves))
        print(f"\n{name}: losses differ from the naive one's by {difference:.1e} of their mean")
    for name in reversed(trainers[1:]):
        print(f"{name.replace(', ', '_')}_ratio_median={statistics.median(runs[name].ratios(runs['naive'])):.2f}")


def spread(values: list[float], digits: int) -> str:
    """Median (lowest to highest)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
