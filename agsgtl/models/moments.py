"""A batch norm behind a linear map, as one linear map: its batch statistics follow from the mean and covariance of the input.

For y = W x + b over many x: mean(y) = W mean(x) + b, var(y) = diag(W cov(x) W'). Where x has few channels, or stays the
same while W is trained, no pass over all y is needed, forwards or backwards; gradients reach W through the variance too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH_ROWS = 64
"""Image rows whose patches lie in memory at once while their moments are summed."""
PATCH_PIXELS = 2**16
"""About so many pixels' do where there are several images: a scene's windows are as many as its labelled pixels ask for."""


@dataclass(frozen=True)
class Moments:
    """Mean (n,) and biased covariance (n, n) of `count` vectors."""

    mean: Tensor
    covariance: Tensor
    count: int

    @classmethod
    def of_rows(cls, rows: Tensor) -> Self:
        """The moments of rows (count, n), taken in float32 at least."""
        with torch.autocast(rows.device.type, enabled=False):
            rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
            mean = rows.mean(dim=0)
            centred = rows - mean
            return cls(mean, centred.T @ centred / len(rows), len(rows))

    @classmethod
    @torch.no_grad()
    def of_patches(cls, maps: Tensor) -> Self:
        """The moments of the 3 x 3 neighbourhoods (C * 9,) of all pixels of maps (n, C, H, W), zeros beyond the border.

        Taken as constants: no gradient reaches the maps.
        """
        with torch.autocast(maps.device.type, enabled=False):
            height, width = maps.shape[-2:]
            padded = functional.pad(maps.to(torch.promote_types(maps.dtype, torch.float32)), (1, 1, 1, 1))
            images = max(1, PATCH_PIXELS // (min(height, PATCH_ROWS) * width))
            tops = range(0, height, PATCH_ROWS)
            strips = [some[:, :, top : top + PATCH_ROWS + 2] for some in padded.split(images) for top in tops]
            count = len(maps) * height * width
            mean = torch.stack([_patches(strip).sum(dim=1) for strip in strips]).sum(dim=0) / count
            covariance = torch.zeros(len(mean), len(mean), dtype=mean.dtype, device=mean.device)
            for strip in strips:
                centred = _patches(strip) - mean[:, None]
                covariance.addmm_(centred, centred.T)
            return cls(mean, covariance / count, count)


def _patches(maps: Tensor) -> Tensor:
    """The 3 x 3 neighbourhoods (C * 9, pixels) of all inner pixels of maps (n, C, H, W)."""
    return functional.unfold(maps, 3).transpose(0, 1).flatten(1)


def normed_map(
    weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm1d | nn.BatchNorm2d, moments: Moments | None
) -> tuple[Tensor, Tensor]:
    """The weight and bias of `norm(weight @ x + bias)`.

    Args:
        weight: (m, n), or more dimensions behind the first; the result has its shape.
        bias: (m,).
        norm: over the m channels; in train mode it takes note of the statistics, as it would.
        moments: of the inputs x; needed in train mode alone.
    """
    assert bias is not None
    with torch.autocast(weight.device.type, enabled=False):
        if norm.training:
            assert moments is not None, "a batch norm in train mode needs the moments of what comes in"
            matrix = weight.flatten(1)
            mean = matrix @ moments.mean + bias
            # Where channels cancel each other, rounding alone can put it below 0, and its root would be NaN.
            variance = ((matrix @ moments.covariance) * matrix).sum(dim=1).clamp_min(0)
            _note(norm, mean, variance, moments.count)
        else:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            mean, variance = norm.running_mean, norm.running_var
        scale = norm.weight * (variance + norm.eps).rsqrt()
        return weight * scale.reshape(-1, *(1,) * (weight.dim() - 1)), norm.bias + (bias - mean) * scale


@torch.no_grad()
def _note(norm: nn.BatchNorm1d | nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """What a batch norm does to its running statistics; the running variance is of the unbiased ones."""
    assert norm.num_batches_tracked is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
