"""Trials side by side on one GPU against one alone: epochs a second of all together.

    python -m benchmarks.packed [--size 145x72x200] [--processes 1,2,4] [--epochs 40] [--precision float32]

Each process is a trial as a worker's: the exact trainer with the authors' settings on a made-up scene of its own, judged once
an epoch as a trial is. They start their epochs together, after three that warm up, and each is timed from there to its end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import torch

from agsgtl.config import configure
from agsgtl.provenance import gpu_memory
from agsgtl.seedrun import losses_and_score
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.trial import prepare_process
from benchmarks.epoch import TRAINERS, made_up_inputs, scene_size, start

WARM_UP_EPOCHS = 3
PATIENCE_S = 300
NAMES = {precision: name for name, (kind, precision) in TRAINERS.items() if kind is AdversarialTraining}
"""The trainer of a precision."""


def trial(
    size: tuple[int, int, int], epochs: int, precision: str, device: str, everybody: Barrier, line: Connection
) -> None:
    """Answers with the seconds of an epoch and the MiB that this process holds of the GPU."""
    prepare_process(configure({"runtime.device": device, "runtime.threads": 1}, origin="benchmark"))
    training = start(NAMES[precision], made_up_inputs(size, device), device)
    assert isinstance(training, AdversarialTraining)
    for epoch in range(1, WARM_UP_EPOCHS + epochs + 1):
        if epoch == WARM_UP_EPOCHS + 1:
            everybody.wait(PATIENCE_S)  # if one has died, the others end too
            started = time.perf_counter()
        losses_and_score(training, training.train_epoch(epoch), "target_validation")
    taken = time.perf_counter() - started
    everybody.wait(PATIENCE_S)  # nobody's end leaves the others more of the GPU
    memory = gpu_memory()
    line.send((taken / epochs, memory.used_mib if memory else 0.0))


def together(
    processes: int, size: tuple[int, int, int], epochs: int, precision: str, device: str
) -> tuple[list[float], list[float]]:
    """Seconds of an epoch and MiB, of each process."""
    context = multiprocessing.get_context("spawn")
    everybody, lines = context.Barrier(processes), []
    for _ in range(processes):
        ours, theirs = context.Pipe()
        context.Process(target=trial, args=(size, epochs, precision, device, everybody, theirs), daemon=True).start()
        lines.append(ours)
    answers = [line.recv() for line in lines]
    return [seconds for seconds, _ in answers], [memory for _, memory in answers]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="145x72x200", help="height x width x bands; Houston is 349x1905x144")
    parser.add_argument("--processes", default="1,2,4", help="one alone is timed first in any case")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--precision", default="float32", choices=sorted(NAMES))
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    size = scene_size(arguments.size)
    where = arguments.device if arguments.device == "cpu" else torch.cuda.get_device_name()
    print(f"scene {arguments.size}, {where}, {arguments.precision}, {arguments.epochs} epochs each\n")
    print(
        "| trials at once | s an epoch, median | epochs a second, together | times one alone | GPU memory of each, MiB |"
    )
    print("|---|---|---|---|---|")
    alone = 0.0
    for processes in sorted({1, *(int(number) for number in arguments.processes.split(","))}):
        seconds, memory = together(processes, size, arguments.epochs, arguments.precision, arguments.device)
        pace = sum(1 / taken for taken in seconds)
        alone = alone or pace
        median, most = statistics.median(seconds), max(memory)
        print(f"| {processes} | {median:.4f} | {pace:.1f} | {pace / alone:.2f} | {most:.0f} |", flush=True)


if __name__ == "__main__":
    main()
