"""What `torch.compile` would bring on a GPU: steps of both phases recorded as they are and recorded compiled, with the price.

    python -m benchmarks.compiled [--size 349x1905x144] [--precision float32]

Run it twice with one TORCHINDUCTOR_CACHE_DIR: the second time shows what compiling costs the trials that come later.
A step is a forward and a backward pass of the authors' settings without the optimiser, which is a hundredth of it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from agsgtl.config import configure
from agsgtl.models import folded
from agsgtl.training.adapt import AdversarialTraining
from agsgtl.training.losses import all_target, at_pixels, cross_entropy
from agsgtl.training.precision import autocast
from agsgtl.training.steps import WARM_UP, Recordings
from agsgtl.trial import prepare_process
from benchmarks.epoch import made_up_inputs, scene_size, seconds, start
from benchmarks.packed import NAMES

REPEATS = 10


def discriminator_loss(training: AdversarialTraining) -> Callable[[], Tensor]:
    """L_D of a fresh training."""
    training.discriminator.train()
    with torch.no_grad(), autocast(training.config):
        features = training._gated_features(training.target_features)
        patches = folded.patches(training.discriminator, features)
    target, source = training.part.labelled, training.source_part

    def loss() -> Tensor:
        with autocast(training.config):
            discriminate = folded.composed(training.discriminator)
            of_target = training._gated_logits(discriminate(features, patches))
            of_source = discriminate(source.maps, training.source_patches)
        source_loss = cross_entropy(at_pixels(of_source, source.labelled.pixels), source.labelled.labels)
        return all_target(at_pixels(of_target, target.pixels)) + source_loss

    return loss


def target_loss(training: AdversarialTraining) -> Callable[[], Tensor]:
    """L_T of a fresh training."""
    training.target.train()
    training.discriminator.eval().requires_grad_(False)
    labelled = training.part.labelled

    def loss() -> Tensor:
        with autocast(training.config):
            gated = training._gated_features(folded.features(training.target.body, training.part.maps))
        return cross_entropy(at_pixels(training._judged(gated), labelled.pixels), labelled.labels)

    return loss


def recorded(loss: Callable[[], Tensor], training: AdversarialTraining) -> Callable[[], Tensor]:
    """Loss and gradients, recorded."""

    def step() -> Tensor:
        training.target_optimizer.zero_grad()
        training.discriminator_optimizer.zero_grad()
        value = loss()
        value.backward()
        return value.detach()

    recordings = Recordings(torch.device("cuda"))
    for _ in range(WARM_UP + 1):
        recordings.run(step)
    return lambda: recordings.run(step)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="349x1905x144", help="height x width x bands")
    parser.add_argument("--precision", default="float32", choices=sorted(NAMES))
    arguments = parser.parse_args()
    prepare_process(configure({"runtime.device": "cuda", "runtime.threads": 1}, origin="benchmark"))
    inputs = made_up_inputs(scene_size(arguments.size), "cuda")
    print(f"scene {arguments.size}, {torch.cuda.get_device_name()}, {arguments.precision}\n")
    print("| step | as it is, ms | compiled, ms | times faster | compiling, s |")
    print("|---|---|---|---|---|")
    for name, loss_of in (("discriminator", discriminator_loss), ("target", target_loss)):
        training = start(NAMES[arguments.precision], inputs, "cuda")
        assert isinstance(training, AdversarialTraining)
        loss = loss_of(training)
        as_it_is = _median_ms(recorded(loss, training))
        started = time.perf_counter()
        compiled = torch.compile(loss)
        compiled().backward()
        torch.cuda.synchronize()
        price = time.perf_counter() - started
        faster = _median_ms(recorded(compiled, training))
        print(f"| {name} | {as_it_is:.2f} | {faster:.2f} | {as_it_is / faster:.2f} | {price:.1f} |", flush=True)
        torch.compiler.reset()


def _median_ms(step: Callable[[], Tensor]) -> float:
    return 1e3 * statistics.median(seconds(step, "cuda") for _ in range(REPEATS))


if __name__ == "__main__":
    main()
