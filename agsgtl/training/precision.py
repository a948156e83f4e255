"""The number format of a training's convolutions and matrix products: float32, or bfloat16 where that is asked for."""

from __future__ import annotations

import torch

from agsgtl.config import Config


def autocast(config: Config) -> torch.autocast:
    """A context for forward passes; under `runtime.precision: bfloat16` PyTorch's autocast, else without effect.

    Weights, optimisers, running statistics and losses stay in float32 either way. Each `with` needs one of its own: entered twice,
    a `torch.autocast` leaves itself on for good.
    """
    return torch.autocast(config.runtime.device, torch.bfloat16, enabled=config.runtime.precision == "bfloat16")
