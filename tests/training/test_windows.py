from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agsgtl.config import configure
from agsgtl.models.networks import build_discriminator, build_segmenter
from agsgtl.models.reach import reach_of
from agsgtl.training.losses import at_pixels
from agsgtl.training.windows import windows_around

STRIDE = 4


@st.composite
def cases(draw: st.DrawFn) -> tuple[torch.Tensor, tuple[int, int], int]:
    """Up to 20 pixels of a scene of up to 150 x 150, and a reach of up to 9."""
    height, width = draw(st.integers(1, 150)), draw(st.integers(1, 150))
    pixels = draw(st.lists(st.integers(0, height * width - 1), min_size=1, max_size=20, unique=True))
    return torch.tensor(pixels), (height, width), draw(st.integers(0, 9))


@given(cases())
def test_windows_lie_in_the_scene_on_the_grid_of_the_poolings(case: tuple[torch.Tensor, tuple[int, int], int]) -> None:
    pixels, scene, reach = case
    windows = windows_around(pixels, scene, reach, STRIDE)
    for starts, size, length in zip((windows.tops, windows.lefts), windows.size, scene, strict=True):
        assert (starts % STRIDE == 0).all()
        assert (starts >= 0).all()
        assert (starts + size <= length).all()
        assert (length - size) % STRIDE == 0


@given(cases())
def test_a_placed_pixel_has_all_within_reach_around_it(case: tuple[torch.Tensor, tuple[int, int], int]) -> None:
    """Each window's map holds its pixels' indices in the scene: a neighbour in the window is the one in the scene."""
    pixels, (height, width), reach = case
    windows = windows_around(pixels, (height, width), reach, STRIDE)
    indices = windows.cut(torch.arange(height * width).reshape(1, 1, height, width))[:, 0].numpy()
    window_height, window_width = windows.size
    for pixel, place in zip(pixels.tolist(), windows.place(pixels).tolist(), strict=True):
        window, row, column = np.unravel_index(place, (len(indices), window_height, window_width))
        assert indices[window, row, column] == pixel
        top, left = max(0, pixel // width - reach), max(0, pixel % width - reach)
        seen = np.arange(height * width).reshape(height, width)
        seen = seen[top : pixel // width + reach + 1, left : pixel % width + reach + 1]
        row, column = row - (pixel // width - top), column - (pixel % width - left)
        assert min(row, column) >= 0
        assert np.array_equal(indices[window, row : row + seen.shape[0], column : column + seen.shape[1]], seen)


@given(cases())
def test_windows_are_never_dearer_than_the_scene_nor_than_one_a_pixel(
    case: tuple[torch.Tensor, tuple[int, int], int],
) -> None:
    pixels, (height, width), reach = case
    area = windows_around(pixels, (height, width), reach, STRIDE).area
    most = 2 * reach + 2 * STRIDE - 1
    assert area <= min(height * width, len(pixels) * min(most, height) * min(most, width))


@given(cases())
def test_all_pixels_that_windows_hold_can_be_placed_and_are_different(
    case: tuple[torch.Tensor, tuple[int, int], int],
) -> None:
    pixels, scene, reach = case
    windows = windows_around(pixels, scene, reach, STRIDE)
    held = windows.pixels()
    assert set(pixels.tolist()) <= set(held.tolist())
    assert len(windows.place(held).unique()) == len(held) == len(held.unique())


def test_close_pixels_share_a_window_and_a_distant_one_has_its_own() -> None:
    pixels = torch.tensor([100 * 400 + 100, 101 * 400 + 103, 300 * 400 + 300])
    windows = windows_around(pixels, (400, 400), reach=7, stride=4)
    assert windows.size == (20, 20)  # 2 * 7 + 4 = 18, and as the scene a multiple of 4
    assert (windows.tops.tolist(), windows.lefts.tolist()) == ([92, 292], [92, 292])


def test_pixels_all_over_a_small_scene_make_the_scene_the_only_window() -> None:
    windows = windows_around(torch.arange(0, 30 * 41, 10), (30, 41), reach=7, stride=4)
    assert (windows.size, windows.area) == ((30, 41), 30 * 41)


def test_a_pixel_outside_of_all_windows_cannot_be_placed() -> None:
    windows = windows_around(torch.tensor([0]), (100, 100), reach=2, stride=4)
    with pytest.raises(ValueError, match="in no window"):
        windows.place(torch.tensor([9_999]))


@pytest.mark.parametrize(
    ("family", "scene", "places", "count"),
    [
        ("shallow", (150, 163), [(0, 0), (0, 162), (40, 60), (149, 162)], 4),
        ("shallow", (149, 270), [(0, 0), (0, 269), (40, 60), (148, 269)], 4),
        ("depthwise", (249, 270), [(130, 146)], 1),
    ],
)
def test_in_eval_mode_networks_give_the_same_in_windows_as_on_the_scene(
    family: str, scene: tuple[int, int], places: list[tuple[int, int]], count: int
) -> None:
    torch.manual_seed(0)
    width = 4 if family == "shallow" else 21
    sizes = {"model.family": family, "model.width": width, "model.discriminator_width": width}
    config, reach = configure(sizes, origin="test"), reach_of(family)
    segmenter, judge = build_segmenter(config, 21, 3, seed=0), build_discriminator(config, 3, seed=1)
    cube = torch.randn(1, 21, *scene, dtype=torch.float64)
    pixels = torch.tensor([row * scene[1] + column for row, column in places])

    def judged(maps: torch.Tensor) -> torch.Tensor:
        logits = judge.double().eval()(segmenter.double().eval().body(maps))
        return judge.attention(logits)

    windows = windows_around(pixels, scene, reach.both, reach.stride)
    assert windows.size != scene  # else there is nothing to tell
    assert len(windows.tops) == count
    with torch.no_grad():
        whole, cut = judged(cube), judged(windows.cut(cube))
    torch.testing.assert_close(at_pixels(cut, windows.place(pixels)), at_pixels(whole, pixels), rtol=1e-9, atol=1e-9)
