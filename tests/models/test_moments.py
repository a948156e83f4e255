"""A composed batch norm is finite wherever the plain one is."""

from __future__ import annotations

import torch
from torch import nn

from agsgtl.models.moments import Moments, normed_map


def test_channels_that_cancel_each_other_leave_no_negative_variance() -> None:
    """Seven logits that rise and fall together by 300 and differ by 1e-4, seen through a row that takes a difference."""
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        together = 300 * torch.randn(2000, 1, generator=generator)
        rows = together + 1e-4 * torch.randn(2000, 7, generator=generator)
        weight = torch.zeros(1, 7)
        weight[0, :2] = torch.tensor([0.5, -0.5])
        norm = nn.BatchNorm1d(1)
        scaled, shift = normed_map(weight, torch.zeros(1), norm, Moments.of_rows(rows))
        assert scaled.isfinite().all()
        assert shift.isfinite().all()
        assert norm.running_var.item() >= 0
