"""Two seeds in one process, their networks stacked, against one process a seed: seconds of a training step.

    OMP_NUM_THREADS=1 python -m benchmarks.batching [--device cpu|cuda]

The step is the discriminator's, which an epoch repeats most: both scenes forward, losses at labelled pixels, backward,
Adam. Stacked in two ways: grouped convolutions (two networks as one of twice the channels) and `torch.func.vmap` over
stacked weights. Batching has to beat process packing by 1.5 to be worth its code; then two steps stacked would have to cost
at most 1/1.5 of two steps alone. On a CPU that is processor time; on a GPU, where steps are recorded as the trainer's are, it
is wall-clock time, to be held against what packing itself gains there (`benchmarks.packed`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from agsgtl.config import configure
from agsgtl.models.networks import Discriminator, Network, ShallowBody, build_discriminator, placed
from agsgtl.training.steps import WARM_UP, Recordings, adam, stepped
from agsgtl.trial import settle_arithmetic
from benchmarks.epoch import seconds

SEEDS = 2
CLASSES = 6
SHAPE = (16, 145, 70)
PIXELS = 600
REPEATS = 15
NEEDED = 1.5


def grouped(network: Network, copies: int) -> Network:
    """The network with every layer `copies` times side by side: convolutions get groups, norms twice the channels."""
    for name, child in network.named_children():
        if isinstance(child, (nn.Conv2d, nn.ConvTranspose2d)):
            wide = type(child)(
                child.in_channels * copies,
                child.out_channels * copies,
                child.kernel_size,  # type: ignore[arg-type]  # a pair, here and below
                stride=child.stride,  # type: ignore[arg-type]
                padding=child.padding,  # type: ignore[arg-type]
                groups=child.groups * copies,
            )
            setattr(network, name, wide)
        elif isinstance(child, nn.BatchNorm2d):
            setattr(network, name, nn.BatchNorm2d(child.num_features * copies))
        else:
            grouped(child, copies)
    return network


class Interleaved(nn.Module):
    """A grouped discriminator: where features and skip are stacked, each group must find its own two parts."""

    def __init__(self, discriminator: Discriminator, copies: int) -> None:
        super().__init__()
        assert isinstance(discriminator.body, ShallowBody)
        self.copies, self.body = copies, grouped(discriminator.body, copies)
        classifier = discriminator.classifier
        self.classifier = nn.Conv2d(classifier.in_channels * copies, classifier.out_channels * copies, 1, groups=copies)

    def joined(self, upconv: nn.ConvTranspose2d, coarse: Tensor, skip: Tensor) -> Tensor:
        """`coarse` at the size of `skip`, group by group before its own skip."""
        up = upconv(coarse, output_size=list(skip.shape[-2:]))
        parts = [part.unflatten(1, (self.copies, -1)) for part in (up, skip)]
        return torch.cat(parts, dim=2).flatten(1, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of all copies, (1, copies * (K + 1), H, W)."""
        body = self.body
        fine = body.encoder1(features)
        coarse = body.encoder5(functional.max_pool2d(fine, 2))
        decoded = body.decoder22(self.joined(body.upconv1, functional.max_pool2d(coarse, 2), coarse))
        return self.classifier(body.decoder11(self.joined(body.upconv11, decoded, fine)))  # type: ignore[no-any-return]


def one_step(device: str) -> Callable[[], Tensor]:
    """A training step of one seed alone."""
    network = placed(_discriminator(0), device)
    optimizer = adam(network.parameters(), 1e-3)
    scenes, pixels, labels = _data(1, device)

    def step() -> Tensor:
        losses = [_loss(network(scene)[0].flatten(1)[:, pixels].T, labels) for scene in scenes]
        return stepped(optimizer, torch.stack(losses).sum())

    return step


def grouped_step(device: str) -> Callable[[], Tensor]:
    """The same step of all seeds as one network with groups."""
    network = placed(Interleaved(_discriminator(0), SEEDS), device)
    optimizer = adam(network.parameters(), 1e-3)
    scenes, pixels, labels = _data(SEEDS, device)

    def step() -> Tensor:
        logits = [network(scene)[0].unflatten(0, (SEEDS, -1)).flatten(2)[:, :, pixels] for scene in scenes]
        return stepped(optimizer, torch.stack([_loss(one.T, labels) for logit in logits for one in logit]).sum())

    return step


def stacked_step(device: str) -> Callable[[], Tensor]:
    """The same step of all seeds by `torch.func.vmap` over their stacked weights."""
    networks = [_discriminator(seed).to(device) for seed in range(SEEDS)]
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats, module.running_mean, module.running_var = False, None, None
                module.num_batches_tracked = None
    weights, buffers = stack_module_state(networks)
    optimizer = adam(weights.values(), 1e-3)
    scenes, pixels, labels = _data(1, device)

    def logits_of(parameters: dict[str, Tensor], state: dict[str, Tensor], scene: Tensor) -> Tensor:
        logits: Tensor = functional_call(networks[0], (parameters, state), (scene,))
        return logits[0].flatten(1)[:, pixels]

    def step() -> Tensor:
        logits = [vmap(logits_of, in_dims=(0, 0, None))(weights, buffers, scene) for scene in scenes]
        return stepped(optimizer, torch.stack([_loss(one.T, labels) for logit in logits for one in logit]).sum())

    return step


def cost_s(step: Callable[[], Tensor], device: str) -> float:
    """Median seconds of a step."""
    recordings = Recordings(torch.device(device))
    times = [seconds(lambda: recordings.run(step), device) for _ in range(REPEATS + WARM_UP + 1)]
    return statistics.median(times[WARM_UP + 1 :])


def main() -> int:
    """Prints what stacking gains; exit code 0 whatever it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    device = parser.parse_args().device
    settle_arithmetic(configure({"runtime.device": device, "runtime.threads": 1}, origin="batching"))
    alone = cost_s(one_step(device), device)
    print(f"one seed alone: {alone * 1e3:.2f} ms a step")
    for name, make in (("grouped convolutions", grouped_step), ("torch.func.vmap", stacked_step)):
        together = cost_s(make(device), device)
        gain = SEEDS * alone / together
        verdict = "worth it" if gain >= NEEDED else "not worth it"
        print(
            f"{SEEDS} seeds by {name}: {together * 1e3:.2f} ms, {gain:.2f} times two steps alone: {verdict}", flush=True
        )
    return 0


def _discriminator(seed: int) -> Discriminator:
    return build_discriminator(configure({"attention.discriminator": False}, origin="batching"), CLASSES, seed)


def _data(copies: int, device: str) -> tuple[list[Tensor], Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    channels, height, width = SHAPE
    scenes = [torch.randn(1, channels * copies, height, width, generator=generator) for _ in range(2)]
    pixels = torch.randperm(height * width, generator=generator)[:PIXELS]
    return (
        [scene.to(device, memory_format=torch.channels_last) for scene in scenes],
        pixels.to(device),
        torch.randint(CLASSES, (PIXELS,), generator=generator).to(device),
    )


_loss = functional.cross_entropy


if __name__ == "__main__":
    sys.exit(main())
