"""A composed batch norm is finite wherever the plain one is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agsgtl.models import moments
from agsgtl.models.moments import PATCH_PIXELS, PATCH_ROWS, Moments, normed_map


@pytest.mark.parametrize("size", [(1000, 2, 20, 20), (40, 1, 150, 30)])
def test_the_patches_of_many_windows_are_never_in_memory_at_once(
    size: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    patches, pixels = moments._patches, list[int]()

    def noted(maps: Tensor) -> Tensor:
        found = patches(maps)
        pixels.append(found.shape[1])
        return found

    monkeypatch.setattr(moments, "_patches", noted)
    maps = torch.randn(size, dtype=torch.float64)
    got = Moments.of_patches(maps)
    assert max(pixels) <= PATCH_PIXELS
    expected = Moments.of_rows(functional.unfold(maps, 3, padding=1).transpose(1, 2).flatten(0, 1))
    assert got.count == expected.count == sum(pixels) / 2  # for the mean, and for the covariance
    torch.testing.assert_close(got.mean, expected.mean)
    torch.testing.assert_close(got.covariance, expected.covariance)


def test_one_image_is_taken_by_its_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a scene's moments are the same bits, however wide it is."""
    maps = torch.randn(1, 2, 2 * PATCH_ROWS + 5, 7)
    as_it_is = Moments.of_patches(maps)
    monkeypatch.setattr(moments, "PATCH_PIXELS", 1)
    assert torch.equal(Moments.of_patches(maps).covariance, as_it_is.covariance)


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
