"""The target's labelled pixels fall into a test pool, fixed once per pair by one of four rules, and a development pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from agsgtl.data.blocks import separate
from agsgtl.data.indices import read_index_file
from agsgtl.errors import UserError

LabelImage = NDArray[np.uint8]
"""(height, width): 0 = unlabelled, i + 1 = class i of the pair."""

# The last entry of a generator's seed keeps its draws apart from the others of the same seed and class. A label draw's
# target stream is [seed, class], which NumPy pads to [seed, class, 0].
SOURCE_STREAM = 1
TEST_POOL_STREAM = 2

_MINIMUM = 15

_READ_BY: Mapping[str, frozenset[str]] = {
    "random": frozenset({"seed", "fraction", "minimum"}),
    "blocks": frozenset({"seed", "fraction", "minimum", "network"}),
    "fixed": frozenset({"indices", "minimum"}),
    "authors": frozenset({"minimum"}),
}
"""The keys of a rule that each split reads; the others are refused beside it."""


class TestPoolRule(BaseModel):
    """How a pair's test pool is fixed: the same for every k, label seed and method.

    `random`: random pixels of each class. `blocks`: spatially disjoint from the development pool, farther than `network`
    looks. `fixed`: the pixels of an index file. `authors`: whatever a confirmation does not draw; no search may use it.
    Every split holds each class to `minimum`, and a key that the split does not read is an error.
    """

    __test__ = False  # pytest must not collect it
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    split: Literal["random", "blocks", "fixed", "authors"] = Field(default="random", description="the rule")
    seed: int = Field(default=0, ge=0, description="the pair's own split seed")
    fraction: float = Field(default=0.5, gt=0.0, lt=1.0, description="part of each class that is test, rounded")
    minimum: int = Field(default=_MINIMUM, ge=1, description="test pixels a class at least")
    network: Literal["shallow", "depthwise"] | None = Field(
        default=None,
        description="blocks: whose reach the buffer covers; left out: the family of the pair's authors_settings",
    )
    indices: str | None = Field(default=None, description="fixed: the index file of `agsgtl data import-indices`")

    @model_validator(mode="after")
    def _keys_are_those_of_the_split(self) -> Self:
        if (self.split == "fixed") != (self.indices is not None):
            raise ValueError("`split: fixed` and `indices: FILE` need each other")
        said = {name for name in self.model_fields_set - {"split"} if getattr(self, name) is not None}
        if unread := sorted(said - _READ_BY[self.split]):
            raise ValueError(
                f"`split: {self.split}` reads {', '.join(sorted(_READ_BY[self.split]))} only, got "
                f"{', '.join(unread)}; leave that out, or say another split"
            )
        return self

    def deciding(self) -> dict[str, Any]:
        """What decides the pools, for a fingerprint; the index file's name does not, its content does.

        `minimum` moves a pixel in `random` and `blocks` alone: elsewhere it only refuses, and may be lowered afterwards.
        """
        rule = self if "seed" in _READ_BY[self.split] else self.model_copy(update={"minimum": _MINIMUM})
        return rule.model_dump(exclude_none=True, exclude={"indices"})


BUFFERS = {"shallow": 21, "depthwise": 138}
"""Distances in pixels, along rows or columns, that `blocks` keeps test and development pixels farther apart than.

The segmenter's reach (what a prediction sees) and the segmenter's and discriminator's (what a training loss sees), for each
network family; `models.reach` computes them from the networks, and a test compares.
"""


TEST_POOL = "test pool: "
"""What the note of a pair on its test pool begins with; a pool drawn at random has none."""
BY_DRAW = f"{TEST_POOL}every labelled pixel that a run does not draw (authors)"


@dataclass(frozen=True, eq=False)
class Pools:
    """The target's labels in two disjoint images, and a note on how they were parted. Only `pairing` and `vault` may hold one.

    Raises:
        ValueError: a pixel is in both pools, or the images differ in shape.
    """

    development: LabelImage
    test: LabelImage
    note: str = ""

    def __post_init__(self) -> None:
        require_disjoint(self.development, self.test, "the development pool and the test pool")


def require_disjoint(first: LabelImage, second: LabelImage, what: str) -> None:
    """Prove that no pixel is labelled in both images.

    Raises:
        ValueError: one is, or the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"{what} must have one shape, got {first.shape} and {second.shape}")
    shared = int(np.count_nonzero((first > 0) & (second > 0)))
    if shared:
        raise ValueError(f"{what} must be disjoint, but share {shared} pixels")


def split_pools(
    labels: LabelImage,
    class_names: Sequence[str],
    rule: TestPoolRule,
    origin: str,
    index_file: Path | None = None,
    family: str = "shallow",
) -> Pools:
    """The pools of a target label image; they depend on the image, the rule and the index file alone.

    Args:
        labels: (height, width), 0..K.
        class_names: K names.
        rule: which of the four ways.
        origin: the pair, for errors.
        index_file: of `split: fixed`.
        family: the network family whose reach counts where `rule.network` names none.

    Raises:
        UserError: a class would be left without enough pixels on one side, or the index file is wrong; it is named.
    """
    if rule.split == "authors":
        return Pools(labels, np.zeros_like(labels), BY_DRAW)
    if rule.split == "fixed" and index_file is not None:
        return _fixed_pools(labels, class_names, rule.minimum, index_file, origin)
    if rule.split == "blocks":
        return _block_pools(labels, class_names, rule, BUFFERS[rule.network or family], origin)
    return _random_pools(labels, class_names, rule, origin)


def _random_pools(labels: LabelImage, class_names: Sequence[str], rule: TestPoolRule, origin: str) -> Pools:
    test = np.zeros_like(labels)
    for index, name in enumerate(class_names, start=1):
        pixels = np.flatnonzero(labels == index)
        count = max(rule.minimum, round(rule.fraction * len(pixels)))
        if count >= len(pixels):
            raise UserError(
                f"{origin}: class '{name}' has {len(pixels)} labelled target pixels, too few for {count} test pixels and at "
                "least 1 for development; leave the class out or lower test_pool.minimum or test_pool.fraction"
            )
        order = np.random.default_rng([rule.seed, index, TEST_POOL_STREAM]).permutation(pixels)
        test.flat[order[:count]] = index
    return Pools(development=_without(labels, test), test=test)


def _fixed_pools(labels: LabelImage, class_names: Sequence[str], minimum: int, file: Path, origin: str) -> Pools:
    chosen = np.zeros(labels.shape, bool)
    chosen.flat[read_index_file(file, labels.shape)] = True
    test = np.where(chosen, labels, 0).astype(np.uint8)
    pools = Pools(_without(labels, test), test, f"{TEST_POOL}{np.count_nonzero(test)} pixels of an index file (fixed)")
    for index, name in enumerate(class_names, start=1):
        tested, developed = (int(np.count_nonzero(image == index)) for image in (pools.test, pools.development))
        if tested < minimum or developed < 1:
            raise UserError(
                f"{origin}: with the indices of {file} class '{name}' has {tested} test pixels (at least {minimum} are needed) and "
                f"{developed} for development; leave the class out, lower test_pool.minimum, or give an index file that holds "
                "enough of its pixels and not all"
            )
    return pools


def _block_pools(labels: LabelImage, class_names: Sequence[str], rule: TestPoolRule, buffer: int, origin: str) -> Pools:
    parted = separate(labels, len(class_names), buffer, rule.fraction, rule.minimum, rule.seed)
    if parted.never_served:
        names = ", ".join(f"'{class_names[index - 1]}'" for index in parted.never_served)
        raise UserError(
            f"{origin}: no spatial split gives class {names} {rule.minimum} test pixels and a development pixel more than {buffer} "
            "pixels apart; leave the class out, lower test_pool.minimum, or use `split: random`"
        )
    for index, name in enumerate(class_names, start=1):
        tested, developed = (int(np.count_nonzero(image == index)) for image in (parted.test, parted.development))
        if tested < rule.minimum or developed < 1:
            raise UserError(
                f"{origin}: no spatial split keeps all classes on both sides more than {buffer} pixels apart: the best leaves class "
                f"'{name}' {tested} test pixels (at least {rule.minimum} are needed) and {developed} for development; leave the class "
                "out, lower test_pool.minimum, or use `split: random`"
            )
    dropped = int(np.count_nonzero(labels) - np.count_nonzero(parted.test) - np.count_nonzero(parted.development))
    note = f"{TEST_POOL}blocks more than {buffer} pixels from any development pixel; {dropped} labelled pixels between are unused"
    return Pools(parted.development, parted.test, note)


def _without(labels: LabelImage, test: LabelImage) -> LabelImage:
    return np.where(test > 0, 0, labels).astype(np.uint8)
