"""A scene's class map, confidence and attention map, tile by tile; the seams equal the untiled result exactly.

A tile is predicted with as much scene around it as the networks look at, cut on the grid of their poolings, so that every
pixel of it is computed from the same numbers in the same order. oneDNN's convolutions sum in an order that depends on the
image's size (PyTorch 2.13, seen in the last bits); prediction goes without them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agsgtl.config import Config
from agsgtl.data.normalisation import BandScaling
from agsgtl.data.scratch import forget_pages
from agsgtl.models.networks import build_discriminator, build_segmenter
from agsgtl.models.reach import reach_of

TILE = 384
"""Rows and columns of a tile without what is around it: about a gigabyte at the widest networks."""


@dataclass(frozen=True)
class Predictor:
    """What predicts: `logits` and `gate` are functions of a normalised tile.

    Attributes:
        judge: from (1, bands, h, w) to logits (1, K, h, w) and the gate (1, 1, h, w), or None where there is none.
        reach: pixels that the outputs look away from their own.
        stride: the grid of the poolings; tiles begin and end on it.
    """

    judge: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    reach: int
    stride: int


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a method says of a scene.

    Attributes:
        class_map: (height, width) uint8, 1..K.
        confidence: (height, width) float32, the highest of the K softmax probabilities.
        attention: (height, width) float32, the gate of each pixel; None for methods without one.
    """

    class_map: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    attention: NDArray[np.float32] | None


def network_predictor(
    config: Config, bands: int, classes: int, weights: Mapping[str, Tensor], discriminator_weights: Mapping[str, Tensor]
) -> Predictor:
    """A segmenter with these weights; with the discriminator's, or with a gate of its own that was on, also the gate.

    Args:
        config: of the run: the networks' sizes, and which gates were on.
        bands: of the cube.
        classes: K.
        weights: the segmenter's state dict.
        discriminator_weights: the discriminator's state dict, or empty.

    Raises:
        RuntimeError: the weights are not these networks'.
    """
    segmenter = build_segmenter(config, bands, classes, seed=0).eval()
    segmenter.load_state_dict(dict(weights))
    discriminator = None
    if discriminator_weights and config.attention.discriminator:
        discriminator = build_discriminator(config, classes, seed=0).eval()
        discriminator.load_state_dict(dict(discriminator_weights))
    own_gate = segmenter.attention if config.attention.target else None

    def judge(tile: Tensor) -> tuple[Tensor, Tensor | None]:
        features = segmenter.body(tile)
        logits = segmenter.classifier(features)
        if discriminator is not None:
            gated = features if own_gate is None else own_gate(features)
            return logits, discriminator.attention.gate(discriminator(gated))
        return logits, None if own_gate is None else own_gate.gate(features)

    reach = reach_of(config.model.family)
    return Predictor(judge, reach.segmenter if discriminator is None else reach.both, reach.stride)


def linear_predictor(weights: Mapping[str, Tensor]) -> Predictor:
    """The pixel-wise linear discriminants `coefficients` (K, bands) and `intercepts` (K,)."""

    def judge(tile: Tensor) -> tuple[Tensor, None]:
        scores = torch.einsum("kb,nbhw->nkhw", weights["coefficients"], tile.double())
        return scores + weights["intercepts"][:, None, None], None

    return Predictor(judge, 0, 1)


def predict_scene(predictor: Predictor, cube: NDArray[Any], scaling: BandScaling, tile: int | None = TILE) -> Prediction:
    """The prediction of a scene of any size; one that is mapped is never in memory whole.

    Args:
        predictor: the method with its weights.
        cube: (height, width, bands) raw numbers, possibly a memory map.
        scaling: the run's normalisation of this scene.
        tile: rows and columns predicted at once; None is the whole scene. It changes no number.
    """
    height, width = cube.shape[:2]
    class_map, confidence = np.zeros((height, width), np.uint8), np.zeros((height, width), np.float32)
    attention: NDArray[np.float32] | None = None
    for rows, around_rows in _tiles(height, tile, predictor):
        for columns, around_columns in _tiles(width, tile, predictor):
            normalised = scaling.apply(cube[around_rows, around_columns])
            forget_pages(cube)
            with torch.no_grad(), _without_onednn():
                logits, gate = predictor.judge(torch.from_numpy(normalised))
            inner = _inside(rows, around_rows), _inside(columns, around_columns)
            probabilities = logits[0].double().softmax(dim=0)[:, *inner]
            class_map[rows, columns] = logits[0].argmax(dim=0)[inner].add(1).to(torch.uint8).numpy()
            confidence[rows, columns] = probabilities.max(dim=0).values.float().numpy()
            if gate is not None:
                attention = np.zeros((height, width), np.float32) if attention is None else attention
                attention[rows, columns] = gate[0, 0][inner].float().numpy()
    return Prediction(class_map, confidence, attention)


def _tiles(length: int, tile: int | None, predictor: Predictor) -> Iterator[tuple[slice, slice]]:
    """Parts of an axis in turn, and each with what is around it."""
    stride, reach = predictor.stride, predictor.reach
    step = length if tile is None else -(-tile // stride) * stride
    for first in range(0, length, step):
        last = min(first + step, length)
        begin = max(0, first - reach) // stride * stride
        yield slice(first, last), slice(begin, min(length, -(-(last + reach) // stride) * stride))


def _inside(part: slice, around: slice) -> slice:
    return slice(part.start - around.start, part.stop - around.start)


@contextmanager
def _without_onednn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch speaks of Intel's GPUs here
        with torch.backends.mkldnn.flags(enabled=False):  # type: ignore[no-untyped-call]
            yield
