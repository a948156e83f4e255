"""The gradients of a 3x3 convolution's weights and bias: PyTorch's kernel against the matrix product of `agsgtl/models/convolution.py`.

    OMP_NUM_THREADS=1 python -m benchmarks.convolution [--size 145x72] [--bands 200] [--repeats 25] [--rounds 8]
    python -m benchmarks.convolution --device cuda --size 349x1905 --bands 144

The layers are the shallow networks' own at the authors' widths. Each repeat times both, one after the other, in processor
time on one thread; the pace is the median's, next to that of a 1024 x 1024 matrix product. The last line is of whole epochs of
the authors' settings, a round one of each. The trainer takes the product on processors without AVX-512, whatever this prints.
On a GPU, in wall-clock time: the convolution, its two gradients in float32, and the convolution in bfloat16, PyTorch's and the trainer's.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from unittest import mock

import torch
from torch import Tensor, nn

from agsgtl.config import configure
from agsgtl.models import convolution
from agsgtl.models.convolution import convolved, map_gradient_on_gpu, weight_gradient, weight_gradient_on_gpu
from agsgtl.models.networks import placed
from agsgtl.training.allocator import keep_freed_memory
from agsgtl.trial import settle_arithmetic
from benchmarks.epoch import made_up_inputs, matrix_peak, seconds, spread, start, timed_epoch


def layers(bands: int) -> list[tuple[str, int, int, int]]:
    """Layer, inputs, outputs, and by how much its maps are smaller than the scene."""
    return [
        ("segmenter, first", bands, 16, 1),
        ("segmenter, second", 16, 16, 1),
        ("segmenter, third", 16, 32, 2),
        ("discriminator, first", 16, 32, 1),
        ("discriminator, second", 32, 32, 1),
        ("discriminator, third", 32, 64, 2),
    ]


Gradients = tuple[Tensor, Tensor]
"""Of a convolution's weight and bias: an epoch pays for both, in either way."""


def convolution_gradient(gradient: Tensor, maps: Tensor, weight: Tensor, mask: list[bool]) -> tuple[Tensor, ...]:
    """By the call that autograd makes, of maps, weight and bias as the mask wants; the kernel depends on the order in memory."""
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        gradient, maps, weight, [len(weight)], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask
    )


def by_pytorch(maps: Tensor, gradient: Tensor, weight: Tensor) -> Gradients:
    """PyTorch's."""
    _, of_weight, of_bias = convolution_gradient(gradient, maps, weight, [False, True, True])
    return of_weight, of_bias


def by_product(maps: Tensor, gradient: Tensor) -> Gradients:
    """As the trainer does without AVX-512."""
    return weight_gradient(maps, gradient), gradient.sum(dim=(0, 2, 3))


def timed(ways: Sequence[Callable[[], object]], repeats: int, device: str = "cpu") -> list[list[float]]:
    """Seconds of each way, repeat by repeat; the first two of each warm up."""
    times = [[seconds(way, device) for way in ways] for _ in range(repeats + 2)]
    return [list(column) for column in zip(*times[2:], strict=True)]


def on_gpu(size: tuple[int, int], bands: int, repeats: int) -> None:
    """Prints a GPU's table."""
    settle_arithmetic(configure({"runtime.device": "cuda", "runtime.threads": 1}, origin="benchmark"))
    print(f"{torch.cuda.get_device_name()}, scene {size[0]}x{size[1]}; medians in ms, PyTorch / the trainer\n")
    print("| layer | convolution | weights' gradient | maps' gradient | convolution in bfloat16 |")
    print("|---|---|---|---|---|")
    for name, inputs, outputs, smaller in layers(bands):
        layer = placed(nn.Conv2d(inputs, outputs, 3, padding=1), "cuda").requires_grad_(False)
        maps, gradient = (
            torch.randn(1, channels, size[0] // smaller, size[1] // smaller, device="cuda").to(
                memory_format=torch.channels_last
            )
            for channels in (inputs, outputs)
        )
        ours = partial(convolved, layer, maps, layer.weight, layer.bias)
        of_weight, of_maps = (
            partial(convolution_gradient, gradient, maps, layer.weight, mask)
            for mask in ([False, True, False], [True, False, False])
        )
        reduced = torch.autocast("cuda", torch.bfloat16)
        pairs = [
            (partial(layer, maps), ours),
            (of_weight, partial(weight_gradient_on_gpu, maps, gradient, layer.weight)),
            (of_maps, partial(map_gradient_on_gpu, gradient, layer.weight)),
            (reduced(partial(layer, maps)), reduced(ours)),
        ]
        medians = [[1e3 * statistics.median(times) for times in timed(pair, repeats, "cuda")] for pair in pairs]
        print(
            f"| {name} ({inputs} to {outputs}) |", " | ".join(f"{a:.2f} / {b:.2f}" for a, b in medians), "|", flush=True
        )


def epoch_ratios(size: tuple[int, int, int], rounds: int) -> list[float]:
    """How often an epoch of the exact trainer with products fits into one with PyTorch's kernels, round by round."""
    inputs = made_up_inputs(size, "cpu")
    trainings = {has_kernel: start("exact", inputs, "cpu") for has_kernel in (True, False)}
    ratios = []
    for epoch in range(rounds + 1):  # the first one warms up
        times = {}
        for has_kernel, training in trainings.items():
            with mock.patch.object(convolution, "_has_avx512", return_value=has_kernel):
                times[has_kernel], _ = timed_epoch(training, epoch + 1, "cpu")
        ratios.append(times[True] / times[False])
    return ratios[1:]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="145x72", help="height x width of the scene")
    parser.add_argument("--bands", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=8, help="of whole epochs")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    height, width = (int(part) for part in arguments.size.split("x"))
    if arguments.device == "cuda":
        on_gpu((height, width), arguments.bands, arguments.repeats)
        return
    peak = matrix_peak("cpu", torch.float32)
    print(
        f"{torch.backends.cpu.get_cpu_capability()}, scene {arguments.size}; matrix product {peak / 1e9:.0f} GFLOP/s\n"
    )
    print("| layer | PyTorch, ms | product, ms | times faster | product, share of matrix peak |")
    print("|---|---|---|---|---|")
    for name, inputs, outputs, smaller in layers(arguments.bands):
        maps, gradient = (
            torch.randn(1, channels, height // smaller, width // smaller).contiguous(memory_format=torch.channels_last)
            for channels in (inputs, outputs)
        )
        weight = torch.randn(outputs, inputs, 3, 3).contiguous(memory_format=torch.channels_last)
        ways = [partial(by_pytorch, maps, gradient, weight), partial(by_product, maps, gradient)]
        torch.testing.assert_close(ways[1](), ways[0](), rtol=1e-3, atol=1e-1)
        theirs, ours = timed(ways, arguments.repeats)
        pace = 18 * maps.numel() * outputs / statistics.median(ours)
        ratio = statistics.median(one / other for one, other in zip(theirs, ours, strict=True))
        texts = (spread([1e3 * time for time in times], 2) for times in (theirs, ours))
        print(f"| {name} ({inputs} to {outputs}) | {' | '.join(texts)} | {ratio:.1f} | {pace / peak:.0%} |", flush=True)
    ratios = epoch_ratios((height, width, arguments.bands), arguments.rounds)
    print(f"\nan epoch: {spread(ratios, 2)} times faster by products")


if __name__ == "__main__":
    main()
