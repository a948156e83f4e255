"""Two seeds in one process, their networks stacked, against one process a seed: processor seconds of a training step.

    OMP_NUM_THREADS=1 python -m benchmarks.batching

The step is the discriminator's, which an epoch repeats most: both scenes forward, losses at labelled pixels, backward,
Adam. Stacked in two ways: grouped convolutions (two networks as one of twice the channels) and `torch.func.vmap` over
stacked weights. Batching has to beat process packing by 1.5 to be worth its code; then two steps stacked would have to cost
at most 1/1.5 of two steps alone.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from agsgtl.config import configure
from agsgtl.models.networks import Discriminator, Network, ShallowBody, build_discriminator, placed

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


def one_step(seed: int) -> Callable[[], None]:
    """A training step of one seed alone."""
    network = placed(_discriminator(seed), "cpu")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    scenes, pixels, labels = _data(1)

    def step() -> None:
        optimizer.zero_grad()
        torch.stack([_loss(network(scene)[0].flatten(1)[:, pixels].T, labels) for scene in scenes]).sum().backward()
        optimizer.step()

    return step


def grouped_step() -> Callable[[], None]:
    """The same step of all seeds as one network with groups."""
    network = placed(Interleaved(_discriminator(0), SEEDS), "cpu")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    scenes, pixels, labels = _data(SEEDS)

    def step() -> None:
        optimizer.zero_grad()
        logits = [network(scene)[0].unflatten(0, (SEEDS, -1)).flatten(2)[:, :, pixels] for scene in scenes]
        torch.stack([_loss(one.T, labels) for logit in logits for one in logit]).sum().backward()
        optimizer.step()

    return step


def stacked_step() -> Callable[[], None]:
    """The same step of all seeds by `torch.func.vmap` over their stacked weights."""
    networks = [_discriminator(seed) for seed in range(SEEDS)]
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats, module.running_mean, module.running_var = False, None, None
                module.num_batches_tracked = None
    weights, buffers = stack_module_state(networks)
    optimizer = torch.optim.Adam(list(weights.values()), lr=1e-3, fused=True)
    scenes, pixels, labels = _data(1)

    def logits_of(parameters: dict[str, Tensor], state: dict[str, Tensor], scene: Tensor) -> Tensor:
        logits: Tensor = functional_call(networks[0], (parameters, state), (scene,))
        return logits[0].flatten(1)[:, pixels]

    def step() -> None:
        optimizer.zero_grad()
        logits = [vmap(logits_of, in_dims=(0, 0, None))(weights, buffers, scene) for scene in scenes]
        torch.stack([_loss(one.T, labels) for logit in logits for one in logit]).sum().backward()
        optimizer.step()

    return step


def cost_s(step: Callable[[], None]) -> float:
    """Median processor seconds of a step."""
    times = []
    for _ in range(REPEATS + 3):
        started = time.process_time()
        step()
        times.append(time.process_time() - started)
    return statistics.median(times[3:])


def main() -> int:
    """Prints what stacking gains; exit code 0 whatever it is."""
    torch.set_num_threads(1)
    alone = cost_s(one_step(0))
    print(f"one seed alone: {alone * 1e3:.1f} ms of processor time a step")
    for name, make in (("grouped convolutions", grouped_step), ("torch.func.vmap", stacked_step)):
        together = cost_s(make())
        gain = SEEDS * alone / together
        verdict = "worth it" if gain >= NEEDED else "not worth it"
        print(f"{SEEDS} seeds by {name}: {together * 1e3:.1f} ms, {gain:.2f} times two processes: {verdict}")
    return 0


def _discriminator(seed: int) -> Discriminator:
    return build_discriminator(configure({"attention.discriminator": False}, origin="batching"), CLASSES, seed)


def _data(copies: int) -> tuple[list[Tensor], Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    channels, height, width = SHAPE
    scenes = [torch.randn(1, channels * copies, height, width, generator=generator) for _ in range(2)]
    pixels = torch.randperm(height * width, generator=generator)[:PIXELS]
    return (
        [scene.contiguous(memory_format=torch.channels_last) for scene in scenes],
        pixels,
        torch.randint(CLASSES, (PIXELS,), generator=generator),
    )


_loss = functional.cross_entropy


if __name__ == "__main__":
    sys.exit(main())
