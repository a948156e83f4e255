"""Which labelled pixels a trial trains and validates on: one draw per label seed, nested in its counts.

The test pool is another matter: a pair has one, whatever is drawn here (`pools.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agsgtl.data.pairing import DomainPair
from agsgtl.data.pools import SOURCE_STREAM, LabelImage, TestPoolRule, require_disjoint
from agsgtl.errors import UserError

__all__ = ["LabelDraw", "TestPoolRule", "draw_labels"]

SOURCE_VALIDATION = 0.2
"""Part of each class's source pixels that validates (Yaghmour et al. 2024, authors' code)."""


@dataclass(frozen=True, eq=False)
class LabelDraw:
    """The labels that one trial may see: four (height, width) uint8 images, 0 = not drawn, 1..K.

    Raises:
        ValueError: training and validation of a domain share a pixel, or differ in shape.
    """

    source_train: LabelImage
    source_validation: LabelImage
    target_train: LabelImage
    target_validation: LabelImage

    def __post_init__(self) -> None:
        require_disjoint(self.source_train, self.source_validation, "source training and validation labels")
        require_disjoint(self.target_train, self.target_validation, "target training and validation labels")


def draw_labels(pair: DomainPair, per_class: int, validation_per_class: int, seed: int) -> LabelDraw:
    """The labels of one label seed.

    Each target class has one order of its development pixels, by `seed` and class alone. Its first k train and its last v
    validate, so with one seed the 3 training pixels are among the 5, the 5 among the 10, whatever v is, and likewise for
    the validation pixels, whatever k is. A class's source pixels split 80 % to 20 %, at least one on each side.

    Args:
        pair: the scenes and the target's development pool.
        per_class: k, target training pixels a class, at least 1.
        validation_per_class: v, target validation pixels a class, 0 for none.
        seed: the label seed, not negative.

    Raises:
        UserError: a class has fewer than k + v development pixels, or would leave fewer than `pair.rest_minimum`, or has fewer
            than 2 source pixels; or a number is too low.
    """
    for what, value, least in (("k", per_class, 1), ("v", validation_per_class, 0), ("the label seed", seed, 0)):
        if value < least:
            raise UserError(f"{pair.name}: {what} must be at least {least}, got {value}")
    source_train, source_validation = _split_source(pair, seed)
    target_train, target_validation = (np.zeros_like(pair.development_labels) for _ in range(2))
    for index, name in enumerate(pair.class_names, start=1):
        pixels = np.flatnonzero(pair.development_labels == index)
        _require_enough(pair, name, len(pixels), per_class, validation_per_class)
        order = np.random.default_rng([seed, index]).permutation(pixels)
        target_train.flat[order[:per_class]] = index
        target_validation.flat[order[len(order) - validation_per_class :]] = index
    return LabelDraw(source_train, source_validation, target_train, target_validation)


def _split_source(pair: DomainPair, seed: int) -> tuple[LabelImage, LabelImage]:
    train, validation = pair.source_labels.copy(), np.zeros_like(pair.source_labels)
    for index, name in enumerate(pair.class_names, start=1):
        pixels = np.flatnonzero(pair.source_labels == index)
        if len(pixels) < 2:
            raise UserError(
                f"{pair.name}: class '{name}' has {len(pixels)} source pixels, but training and validation need 1 each; "
                "leave the class out of the pair"
            )
        count = max(1, round(SOURCE_VALIDATION * len(pixels)))
        drawn = np.random.default_rng([seed, index, SOURCE_STREAM]).permutation(pixels)[:count]
        train.flat[drawn] = 0
        validation.flat[drawn] = index
    return train, validation


def _require_enough(pair: DomainPair, class_name: str, there: int, k: int, v: int) -> None:
    if there >= k + v + pair.rest_minimum:
        return
    if pair.tests_on_the_rest:
        raise UserError(
            f"{pair.name}: class '{class_name}' has {there} labelled target pixels, but k = {k} training and v = {v} validation "
            f"pixels must leave {pair.rest_minimum} to test on (`split: authors`), {k + v + pair.rest_minimum} in all; lower "
            "labels.per_class, labels.validation_per_class or test_pool.minimum, or leave the class out of the pair"
        )
    raise UserError(
        f"{pair.name}: class '{class_name}' has {there} target pixels outside the test pool, but k = {k} training and "
        f"v = {v} validation pixels need {k + v}; lower labels.per_class or labels.validation_per_class, or leave the "
        "class out of the pair"
    )
