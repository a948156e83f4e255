"""The target's labelled pixels fall into a test pool, drawn once per pair, and a development pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agsgtl.errors import UserError

LabelImage = NDArray[np.uint8]
"""(height, width): 0 = unlabelled, i + 1 = class i of the pair."""

# The last entry of a generator's seed keeps its draws apart from the others of the same seed and class. A label draw's
# target stream is [seed, class], which NumPy pads to [seed, class, 0].
SOURCE_STREAM = 1
TEST_POOL_STREAM = 2


class TestPoolRule(BaseModel):
    """How a pair's test pool is drawn: the same for every k, label seed and method."""

    __test__ = False  # pytest must not collect it
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    split: Literal["random"] = Field(default="random", description="random pixels of each class")
    seed: int = Field(default=0, ge=0, description="the pair's own split seed")
    fraction: float = Field(default=0.5, gt=0.0, lt=1.0, description="part of each class that is test, rounded")
    minimum: int = Field(default=15, ge=1, description="test pixels a class at least")


@dataclass(frozen=True, eq=False)
class Pools:
    """The target's labels in two disjoint images. Only `pairing` and `vault` may hold one.

    Raises:
        ValueError: a pixel is in both pools, or the images differ in shape.
    """

    development: LabelImage
    test: LabelImage

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


def split_pools(labels: LabelImage, class_names: Sequence[str], rule: TestPoolRule, origin: str) -> Pools:
    """The pools of a target label image; they depend on the image and the rule alone.

    Raises:
        UserError: a class is too small for `rule.minimum` test pixels and one development pixel.
    """
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
    return Pools(development=np.where(test > 0, 0, labels).astype(np.uint8), test=test)
