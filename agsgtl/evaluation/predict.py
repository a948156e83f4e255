"""A scene's class map, confidence and attention map, tile by tile; the seams equal the untiled result exactly.

What looks around a pixel (segmenter, then discriminator) goes tile by tile: a tile is computed with as much scene around
it as the network looks at, cut on the grid of its poolings, in sums of one order (`plainsums`). What looks at a pixel
alone (normalisation, softmax, gates) goes row by row of the whole scene. So no number depends on the tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from agsgtl.models.plainsums import in_plain_sums, sum_products
from agsgtl.models.reach import reach_of

TILE = 384
"""Rows and columns of a tile without what is around it: about half a gigabyte at the widest networks."""

Layer = Callable[[Tensor], Tensor]
Region = tuple[slice, slice]


@dataclass(frozen=True)
class Looker:
    """A network that looks around each pixel.

    Attributes:
        network: from (1, channels, h, w) to (1, other channels, h, w).
        reach: pixels that it looks away from its own.
        stride: the grid of its poolings; tiles begin and end on it.
    """

    network: Layer
    reach: int
    stride: int


@dataclass(frozen=True)
class Predictor:
    """What predicts, step by step.

    Attributes:
        segmenter: from a normalised cube to features.
        classifier: from a row of features (1, C, 1, w) to logits (1, K, 1, w).
        own_gate: from a row of features to its gates (1, 1, 1, w), where the target's attention was on.
        discriminator: from features, gated where there is `own_gate`, to its logits.
        gate: from a row of the discriminator's logits to their gates.
    """

    segmenter: Looker
    classifier: Layer
    own_gate: Layer | None = None
    discriminator: Looker | None = None
    gate: Layer | None = None


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
    reach = reach_of(config.model.family)
    segmenter = build_segmenter(config, bands, classes, seed=0).eval()
    segmenter.load_state_dict(dict(weights))
    features = Looker(in_plain_sums(segmenter.body), reach.segmenter, reach.stride)
    classifier = sums_of_pixels(segmenter.classifier.weight.detach()[:, :, 0, 0], segmenter.classifier.bias)
    own_gate = segmenter.attention.gate if segmenter.attention is not None and config.attention.target else None
    if not (discriminator_weights and config.attention.discriminator):
        return Predictor(features, classifier, own_gate)
    discriminator = build_discriminator(config, classes, seed=0).eval()
    discriminator.load_state_dict(dict(discriminator_weights))
    judge = Looker(in_plain_sums(discriminator), reach.discriminator, reach.stride)
    return Predictor(features, classifier, own_gate, judge, discriminator.attention.gate)


def linear_predictor(weights: Mapping[str, Tensor]) -> Predictor:
    """The pixel-wise linear discriminants `coefficients` (K, bands) and `intercepts` (K,)."""
    scores = sums_of_pixels(weights["coefficients"], weights["intercepts"])
    return Predictor(Looker(lambda tile: scores(tile.to(weights["coefficients"].dtype)), 0, 1), lambda row: row)


def sums_of_pixels(weights: Tensor, bias: Tensor | None) -> Layer:
    """The layer that weighs each pixel's channels: weights (outputs, channels), bias (outputs,) or none."""
    taps, start = weights[None, :, :, None, None], torch.zeros(len(weights)) if bias is None else bias.detach()
    return lambda maps: sum_products(maps, taps, start, padding=0)


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

    def normalised(region: Region) -> NDArray[Any]:
        part: NDArray[Any] = scaling.apply(cube[region])[0]
        forget_pages(cube)
        return part

    with torch.no_grad():
        features = _look_around(predictor.segmenter, normalised, (height, width), tile)
        class_map, confidence = _classify(features, predictor.classifier)
        gates = None if predictor.own_gate is None else _gates(features, predictor.own_gate)
        if predictor.discriminator is None or predictor.gate is None:
            return Prediction(class_map, confidence, gates)

        def gated(region: Region) -> NDArray[Any]:
            part: NDArray[Any] = features[:, *region]
            return part if gates is None else np.multiply(part, gates[region])

        judged = _look_around(predictor.discriminator, gated, (height, width), tile)
        return Prediction(class_map, confidence, _gates(judged, predictor.gate))


def _look_around(
    looker: Looker, read: Callable[[Region], NDArray[Any]], size: tuple[int, int], tile: int | None
) -> NDArray[Any]:
    """The network's maps (channels, height, width) of a whole scene; `read` gives a region's input (channels, h, w)."""
    whole: NDArray[Any] | None = None
    for rows, around_rows in _tiles(size[0], tile, looker):
        for columns, around_columns in _tiles(size[1], tile, looker):
            seen = torch.from_numpy(np.ascontiguousarray(read((around_rows, around_columns))))[None]
            maps = looker.network(seen)[0].numpy()
            if whole is None:
                whole = new_array((maps.shape[0], *size), maps.dtype)
            whole[:, rows, columns] = maps[:, _inside(rows, around_rows), _inside(columns, around_columns)]
            forget_pages(whole)
    if whole is None:
        raise ValueError("a scene must have a pixel")
    return whole


def _classify(features: NDArray[Any], classifier: Layer) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Classes and confidences (height, width)."""
    class_map, confidence = np.zeros(features.shape[1:], np.uint8), np.zeros(features.shape[1:], np.float32)
    for row, values in _rows(features):
        logits = classifier(values)[0, :, 0]
        class_map[row] = logits.argmax(dim=0).add(1).to(torch.uint8).numpy()
        confidence[row] = logits.softmax(dim=0).max(dim=0).values.float().numpy()
    return class_map, confidence


def _gates(maps: NDArray[Any], gate: Layer) -> NDArray[np.float32]:
    """The gate of every pixel (height, width)."""
    gates = np.zeros(maps.shape[1:], np.float32)
    for row, values in _rows(maps):
        gates[row] = gate(values)[0, 0, 0].numpy()
    return gates


def _rows(maps: NDArray[Any]) -> Iterator[tuple[int, Tensor]]:
    """Each row (1, channels, 1, width) of the whole scene with its number: its length does not depend on any tile."""
    for row in range(maps.shape[1]):
        yield row, torch.from_numpy(np.ascontiguousarray(maps[None, :, row : row + 1]))
    forget_pages(maps)


def _tiles(length: int, tile: int | None, looker: Looker) -> Iterator[tuple[slice, slice]]:
    """Parts of an axis in turn, and each with what is around it."""
    stride, reach = looker.stride, looker.reach
    step = length if tile is None else -(-tile // stride) * stride
    for first in range(0, length, step):
        last = min(first + step, length)
        begin = max(0, first - reach) // stride * stride
        yield slice(first, last), slice(begin, min(length, -(-(last + reach) // stride) * stride))


def _inside(part: slice, around: slice) -> slice:
    return slice(part.start - around.start, part.stop - around.start)
