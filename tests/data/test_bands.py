from __future__ import annotations

import numpy as np
import pytest

from agsgtl.data.bands import BandPlan, choose, fit_groups, match
from agsgtl.errors import UserError


def plan(*centres: float) -> BandPlan:
    return choose(None, np.array(centres), len(centres), "a")


def test_ranges_choose_bands_and_their_wavelengths() -> None:
    chosen = choose([[3, 4], [0, 0]], np.arange(5.0), 5, "a")
    cube = np.arange(10, dtype=np.uint16).reshape(1, 2, 5)
    made = chosen.apply(cube)
    assert made.tolist() == [[[3, 4, 0], [8, 9, 5]]]
    assert made.dtype == np.uint16
    assert chosen.wavelengths_nm is not None
    assert chosen.wavelengths_nm.tolist() == [3, 4, 0]


def test_all_bands_leave_the_cube_as_it_is() -> None:
    cube = np.zeros((2, 2, 3))
    assert choose(None, None, 3, "a").apply(cube) is cube


@pytest.mark.parametrize("limits", [[2, 5], [3, 1]])
def test_a_range_past_the_cube_is_refused(limits: list[int]) -> None:
    with pytest.raises(UserError, match=r"a: bands \[\d, \d\] .* must lie in the cube, which has 5 bands"):
        choose([limits], None, 5, "a")


def test_nearest_takes_the_finer_sensors_nearest_bands() -> None:
    source, target, note = match(plan(400, 410, 420, 430, 440), plan(395, 412, 433), "nearest", "a")
    assert source.lower.tolist() == [1, 3]
    assert target.lower.tolist() == [1, 2]
    assert "nearest) at 2 centres of the target from 400 to 433 nm, at most 3 nm apart" in note


def test_interpolation_is_a_straight_line_between_neighbours_whatever_their_order() -> None:
    source, target, _ = match(plan(500, 400, 600, 460, 570), plan(450, 585), "interpolate", "a")
    cube = np.array([[[50.0, 40.0, 80.0, 46.0, 57.0]]])
    assert source.apply(cube).ravel().tolist() == pytest.approx([45.0, 68.5])
    assert source.apply(cube).dtype == np.float32
    assert target.lower.tolist() == [0, 1]


def test_matching_needs_wavelengths_and_a_common_range() -> None:
    with pytest.raises(UserError, match="match_bands needs the source's wavelengths; give `wavelengths`"):
        match(choose(None, None, 3, "a"), plan(1, 2, 3), "nearest", "a")
    with pytest.raises(UserError, match="share no range"):
        match(plan(400, 500), plan(900, 1000), "nearest", "a")


@pytest.mark.parametrize(
    ("bands", "how", "count"), [(242, "pad", 252), (242, "trim", 231), (42, "pad", 42), (20, "trim", 0)]
)
def test_bands_become_a_multiple_of_21_by_zeros_or_by_leaving_out(bands: int, how: str, count: int) -> None:
    fitted = fit_groups(choose(None, None, bands, "a"), how)
    assert len(fitted.lower) == count
    if count:
        made = fitted.apply(np.ones((1, 1, bands), np.uint16))[0, 0]
        assert made.tolist() == [1] * min(bands, count) + [0] * max(0, count - bands)
