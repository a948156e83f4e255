"""Seeds: which one decides what, and independent streams from one number."""

from __future__ import annotations

import zlib

import numpy as np
from pydantic import BaseModel, ConfigDict


class Seeds(BaseModel):
    """The seeds of one training: `labels` draws the labelled pixels, `init` the weights and the pixels of each epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: int
    init: int


def derive_seed(seed: int, purpose: str) -> int:
    """A seed below 2**32 for one purpose, independent of those for other purposes and other seeds.

    >>> derive_seed(41, "target") == derive_seed(41, "target") != derive_seed(41, "discriminator")
    True
    """
    return int(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(1)[0])
