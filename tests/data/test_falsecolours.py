from __future__ import annotations

import numpy as np
import pytest

from agsgtl.data.falsecolours import false_colours


def shown_bands(bands: int, wavelengths_nm: list[float] | None) -> list[int]:
    """The bands that a picture shows, in the order red, green, blue: in each band another pixel is the bright one."""
    cube = np.eye(bands)[None]
    centres = None if wavelengths_nm is None else np.array(wavelengths_nm)
    return np.asarray(false_colours(np.repeat(cube, 3, axis=0), centres))[0].argmax(axis=0).tolist()


def test_wavelengths_tell_infrared_red_and_green() -> None:
    assert shown_bands(4, [550.0, 650.0, 860.0, 2000.0]) == [2, 1, 0]
    assert shown_bands(4, [2000.0, 860.0, 650.0, 550.0]) == [1, 2, 3]


@pytest.mark.parametrize(
    "wavelengths_nm",
    [None, [0.45 + 0.03 * band for band in range(20)], [1500.0 + band for band in range(20)], [float("nan")] * 20],
    ids=["none", "micrometres", "short-wave infrared", "unknown"],
)
def test_where_wavelengths_tell_no_colours_position_does(wavelengths_nm: list[float] | None) -> None:
    assert shown_bands(20, wavelengths_nm) == [15, 9, 5]


def test_a_sensor_of_many_bands_is_taken_to_reach_2500_nm() -> None:
    assert shown_bands(200, None) == [40, 26, 16]


def test_each_band_is_stretched_on_its_own_into_0_to_1() -> None:
    cube = np.random.default_rng(0).random((6, 5, 20)) * np.arange(1, 21)
    colours = false_colours(cube)
    assert colours.shape == (6, 5, 3)
    assert colours.min(axis=(0, 1)).tolist() == [0, 0, 0]
    assert colours.max(axis=(0, 1)).tolist() == [1, 1, 1]
