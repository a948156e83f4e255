"""What the steps of an adaptation compute of the two scenes: all of each, or windows around the pixels that carry a loss.

Windows hold each such pixel with all that the networks see of it, so that every logit that carries a loss is the scene's in
eval mode; in train mode the batch norms take their statistics over the windows alone, which is why it is a choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from agsgtl.config import Config
from agsgtl.models import folded
from agsgtl.models.networks import Segmenter
from agsgtl.models.reach import reach_of
from agsgtl.training.inputs import LabelledPixels, TrainingInputs
from agsgtl.training.losses import at_pixels
from agsgtl.training.precision import autocast
from agsgtl.training.windows import Windows, windows_around


@dataclass(frozen=True)
class Part:
    """Maps (n, C, h, w) of a scene, and the labelled pixels as indices into them (`at_pixels`)."""

    maps: Tensor
    labelled: LabelledPixels


@dataclass(frozen=True)
class TargetPart(Part):
    """The target's part, and all pixels `unlabelled` (m,) that an epoch may draw from.

    In windows those are the ones around the labelled pixels, as far as all that the networks see of them lies in the window.
    """

    unlabelled: Tensor


def target_part(config: Config, inputs: TrainingInputs, with_discriminator: bool) -> TargetPart:
    """The target cube's part around all labelled training pixels, the same in every epoch.

    Args:
        config: says whether all of the cube or windows.
        inputs: the cube and its labelled pixels.
        with_discriminator: whether a loss sees the discriminator's logits; windows are larger then.
    """
    cube, labelled = inputs.target_cube, inputs.target_train
    if config.adapt.extent == "scene":
        return TargetPart(cube, labelled, inputs.unlabelled)
    reach = reach_of(config.model.family)
    windows = _windows(cube, labelled.pixels, reach.both if with_discriminator else reach.segmenter, reach.stride)
    around = windows.pixels().to(cube.device)
    unlabelled = around[~torch.isin(around, labelled.pixels)]
    placed = LabelledPixels(windows.place(labelled.pixels), labelled.labels)
    return TargetPart(windows.cut(cube), placed, windows.place(unlabelled))


class SourceParts:
    """An epoch's part of the source: the scene with all labelled pixels, or windows around a class-balanced draw.

    Args:
        config: says whether the scene or windows, and how many pixels a class.
        labelled: the source training pixels.
        sees: which network sees the source's maps.
        seed: of the draws; each depends on it and on the epoch alone.
    """

    def __init__(
        self, config: Config, labelled: LabelledPixels, sees: Literal["segmenter", "discriminator"], seed: int
    ) -> None:
        self.settings, self.family = config.adapt, config.model.family
        self.labelled, self.sees, self.seed = labelled, sees, seed

    def of(self, maps: Tensor, epoch: int) -> Part:
        """The epoch's part of the source's maps (1, C, H, W)."""
        if self.settings.extent == "scene":
            return Part(maps, self.labelled)
        generator = np.random.default_rng([self.seed, epoch])
        drawn = balanced_draw(self.labelled, self.settings.source_pixels_per_class, generator)
        reach = reach_of(self.family)
        far = reach.segmenter if self.sees == "segmenter" else reach.discriminator
        windows = _windows(maps, drawn.pixels, far, reach.stride)
        return Part(windows.cut(maps), LabelledPixels(windows.place(drawn.pixels), drawn.labels))


def balanced_draw(labelled: LabelledPixels, per_class: int, rng: np.random.Generator) -> LabelledPixels:
    """Up to `per_class` different pixels of each class."""
    labels = labelled.labels.cpu().numpy()
    members = (np.flatnonzero(labels == label) for label in np.unique(labels))
    drawn = np.concatenate([rng.choice(found, min(per_class, len(found)), replace=False) for found in members])
    chosen = torch.from_numpy(drawn).to(labelled.pixels.device)
    return LabelledPixels(labelled.pixels[chosen], labelled.labels[chosen])


@torch.no_grad()
def logits_in_windows(config: Config, segmenter: Segmenter, cube: Tensor, pixels: Tensor) -> Tensor:
    """The logits (m, K) in eval mode of a cube's m pixels, equal to the whole scene's up to rounding."""
    reach = reach_of(config.model.family)
    windows = _windows(cube, pixels, reach.segmenter, reach.stride)
    with autocast(config):
        return at_pixels(folded.logits(segmenter.eval(), windows.cut(cube)), windows.place(pixels))


def _windows(maps: Tensor, pixels: Tensor, reach: int, stride: int) -> Windows:
    return windows_around(pixels, (maps.shape[2], maps.shape[3]), reach, stride)
