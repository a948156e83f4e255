"""A scene's class map, confidence and attention map, tile by tile; the seams equal the untiled result exactly.

A tile is predicted with as much scene around it as the networks look at, cut on the grid of their poolings, so that every
pixel of it is computed from the same numbers in the same order. oneDNN's convolutions sum in an order that depends on the
image's size (PyTorch 2.13, seen in the last bits); prediction goes without them. What follows the last 3x3 convolution,
softmax and gate, is computed for the assembled scene.
"""

from __future__ import annotations

import copy
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
from agsgtl.data.scratch import forget_pages, new_array
from agsgtl.models.networks import build_discriminator, build_segmenter
from agsgtl.models.reach import reach_of

TILE = 384
"""Rows and columns of a tile without what is around it: about a gigabyte at the widest networks."""


@dataclass(frozen=True)
class Predictor:
    """What predicts: `judge` looks at a normalised tile, `gate` at single pixels of what it saw.

    Attributes:
        judge: from (1, bands, h, w) to logits (1, K, h, w) and what the gate is computed from (1, C, h, w), or None.
        gate: from pixels (1, C, h, w) to their gates (1, 1, h, w).
        reach: pixels that `judge` looks away from its own.
        stride: the grid of the poolings; tiles begin and end on it.
    """

    judge: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    gate: Callable[[Tensor], Tensor] | None
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
    reach = reach_of(config.model.family)
    own_gate = segmenter.attention if config.attention.target else None
    if not (discriminator_weights and config.attention.discriminator):

        def judge_alone(tile: Tensor) -> tuple[Tensor, Tensor | None]:
            features = segmenter.body(tile)
            return segmenter.classifier(features), None if own_gate is None else features

        return Predictor(judge_alone, None if own_gate is None else own_gate.gate, reach.segmenter, reach.stride)
    discriminator = build_discriminator(config, classes, seed=0).eval()
    discriminator.load_state_dict(dict(discriminator_weights))
    exact_gate = copy.deepcopy(own_gate).double() if own_gate is not None else None

    def judge(tile: Tensor) -> tuple[Tensor, Tensor | None]:
        features = segmenter.body(tile)
        gated = features if exact_gate is None else exact_gate(features.double()).float()
        return segmenter.classifier(features), discriminator(gated)

    return Predictor(judge, discriminator.attention.gate, reach.both, reach.stride)


def linear_predictor(weights: Mapping[str, Tensor]) -> Predictor:
    """The pixel-wise linear discriminants `coefficients` (K, bands) and `intercepts` (K,)."""

    def judge(tile: Tensor) -> tuple[Tensor, None]:
        scores = torch.einsum("kb,nbhw->nkhw", weights["coefficients"], tile.double())
        return scores + weights["intercepts"][:, None, None], None

    return Predictor(judge, None, 0, 1)


def predict_scene(
    predictor: Predictor, cube: NDArray[Any], scaling: BandScaling, tile: int | None = TILE
) -> Prediction:
    """The prediction of a scene of any size; one that is mapped is never in memory whole.

    Args:
        predictor: the method with its weights.
        cube: (height, width, bands) raw numbers, possibly a memory map.
        scaling: the run's normalisation of this scene.
        tile: rows and columns predicted at once; None is the whole scene. It changes no number.
    """
    height, width = cube.shape[:2]
    logits: NDArray[Any] | None = None
    seen: NDArray[Any] | None = None
    for rows, around_rows in _tiles(height, tile, predictor):
        for columns, around_columns in _tiles(width, tile, predictor):
            normalised = scaling.apply(cube[around_rows, around_columns])
            forget_pages(cube)
            with torch.no_grad(), _without_onednn():
                judged = predictor.judge(torch.from_numpy(normalised))
            inner = slice(None), _inside(rows, around_rows), _inside(columns, around_columns)
            logits = _put(logits, judged[0][0][inner], (height, width), (rows, columns))
            if judged[1] is not None:
                seen = _put(seen, judged[1][0][inner], (height, width), (rows, columns))
    if logits is None:
        raise ValueError("a scene must have a pixel")
    return _finish(logits, seen, predictor.gate)


def _put(whole: NDArray[Any] | None, part: Tensor, size: tuple[int, int], place: tuple[slice, slice]) -> NDArray[Any]:
    """The maps (channels, height, width) of the whole scene with a tile's part in its place."""
    values = part.numpy()
    if whole is None:
        whole = new_array((values.shape[0], *size), values.dtype)
    whole[:, *place] = values
    return whole


def _finish(logits: NDArray[Any], seen: NDArray[Any] | None, gate: Callable[[Tensor], Tensor] | None) -> Prediction:
    """Classes, confidences and gates, row by row of the scene: the same sums in the same order whatever the tiles were."""
    _, height, width = logits.shape
    class_map, confidence = np.zeros((height, width), np.uint8), np.zeros((height, width), np.float32)
    attention = None if seen is None or gate is None else np.zeros((height, width), np.float32)
    with torch.no_grad():
        for row in range(height):
            of_row = torch.from_numpy(np.ascontiguousarray(logits[:, row]))
            class_map[row] = of_row.argmax(dim=0).add(1).to(torch.uint8).numpy()
            confidence[row] = of_row.softmax(dim=0).max(dim=0).values.float().numpy()
            if attention is not None and seen is not None and gate is not None:
                attention[row] = gate(torch.from_numpy(np.ascontiguousarray(seen[None, :, row : row + 1])))[
                    0, 0, 0
                ].numpy()
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
        with torch.backends.mkldnn.flags(enabled=False):
            yield
