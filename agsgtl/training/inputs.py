"""What a training sees: the two cubes as tensors, and the pixels of each label set. No test label is among it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agsgtl.data.labels import LabelDraw
from agsgtl.data.pairing import DomainPair
from agsgtl.data.sharing import Pixels, normalised_pixels


@dataclass(frozen=True)
class LabelledPixels:
    """Pixels as row-major indices (n,) and their classes (n,), counted from 0."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def of(cls, label_image: NDArray[np.integer], device: str) -> LabelledPixels:
        """The labelled pixels of an image (height, width), 0 = unlabelled, 1..K."""
        flat = label_image.reshape(-1)
        pixels = np.flatnonzero(flat)
        labels = flat[pixels].astype(np.int64) - 1
        return cls(torch.from_numpy(pixels).to(device), torch.from_numpy(labels).to(device))


@dataclass(frozen=True)
class TrainingInputs:
    """Cubes (1, bands, height, width), channels last in memory; label sets; the number K of classes.

    `unlabelled` are all target pixels (m,) outside the target training labels: never derived from other labels.
    """

    source_cube: Tensor
    target_cube: Tensor
    source_train: LabelledPixels
    source_validation: LabelledPixels
    target_train: LabelledPixels
    target_validation: LabelledPixels
    unlabelled: Tensor
    classes: int

    @property
    def bands(self) -> int:
        """Spectral bands of both cubes."""
        return self.source_cube.shape[1]


def as_networks_read(pixels: Pixels, device: str = "cpu") -> Tensor:
    """The same numbers as (1, bands, height, width), channels last; on a CPU the same memory.

    The pixels are in C order, so that all four strides are those of a tensor that PyTorch itself has put into this order: over a
    transposed view, PyTorch 2.13 was seen to give a wrong weight gradient of a grouped convolution, without a word.
    """
    return torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).to(device)


def training_inputs(source_cube: Tensor, target_cube: Tensor, draw: LabelDraw, classes: int) -> TrainingInputs:
    """The inputs of one draw of labels; the cubes are shared, not copied."""
    device = str(target_cube.device)
    return TrainingInputs(
        source_cube=source_cube,
        target_cube=target_cube,
        source_train=LabelledPixels.of(draw.source_train, device),
        source_validation=LabelledPixels.of(draw.source_validation, device),
        target_train=LabelledPixels.of(draw.target_train, device),
        target_validation=LabelledPixels.of(draw.target_validation, device),
        unlabelled=torch.from_numpy(np.flatnonzero(draw.target_train.reshape(-1) == 0)).to(device),
        classes=classes,
    )


def normalised_cubes(pair: DomainPair, kind: str, device: str) -> tuple[Tensor, Tensor]:
    """The source and target cubes of a pair as tensors; kept for the process's next trials on the same pair.

    On a GPU one pair's alone are kept: another's would count as memory that the trial needs.
    """
    return _cubes_in_memory(pair, kind) if device == "cpu" else _cubes_on_gpu(pair, kind, device)


@lru_cache(maxsize=2)
def _cubes_in_memory(pair: DomainPair, kind: str) -> tuple[Tensor, Tensor]:
    source, target = normalised_pixels(pair, kind)
    return as_networks_read(source), as_networks_read(target)


def _cubes_on_gpu(pair: DomainPair, kind: str, device: str) -> tuple[Tensor, Tensor]:
    wanted = (pair, kind, device)
    if wanted not in _KEPT_ON_GPU:
        _KEPT_ON_GPU.clear()  # first, so that two pairs are never there at once
        torch.cuda.empty_cache()  # what the allocator keeps would still count
        source, target = normalised_pixels(pair, kind)
        _KEPT_ON_GPU[wanted] = as_networks_read(source, device), as_networks_read(target, device)
    return _KEPT_ON_GPU[wanted]


_KEPT_ON_GPU: dict[tuple[DomainPair, str, str], tuple[Tensor, Tensor]] = {}
"""The cubes that this process used last on a GPU."""
