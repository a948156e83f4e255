"""Crops of one scene in two files share pixels; where those are labelled in both, test labels would train."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from agsgtl.data.doctor import examine
from agsgtl.data.overlap import Overlap, find_overlap
from agsgtl.data.pairing import load_pair
from agsgtl.errors import UserError

REACHES = {"shallow": (1, 2), "depthwise": (3, 6)}
Part = tuple[slice, slice]


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A cube and the label image of all its pixels, two classes in blocks."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(1, 3, (10, 20)), np.ones((2, 2), int))
    cube = rng.integers(0, 4000, (20, 40, 30)) + 500 * labels[:, :, None]
    return cube.astype(np.uint16), labels.astype(np.uint8)


def write_crops(folder: Path, source: Part, target: Part, of_target: str = "", dtype: str = "uint16") -> str:
    """Two crops of one scene in files of their own, each with its labels, and the name of their pair."""
    cube, labels = scene()
    for side, part in (("source", source), ("target", target)):
        np.save(folder / f"{side}.npy", cube[part].astype(dtype if side == "target" else "uint16"))
        np.save(folder / f"{side}_gt.npy", labels[part])
    file = folder / "crops.yaml"
    file.write_text(
        "name: crops\nsource: {cube: source.npy, labels: source_gt.npy}\n"
        f"target: {{cube: target.npy, labels: target_gt.npy{of_target}}}\n"
        "classes: [{name: a, source: 1, target: 1}, {name: b, source: 2, target: 2}]\n"
    )
    return str(file)


WEST, EAST = (slice(None), slice(0, 24)), (slice(None), slice(20, 40))


@pytest.mark.parametrize(
    ("source", "target", "count", "way"),
    [
        (WEST, EAST, 20 * 4, r"row \+0 and column -20"),
        (EAST, WEST, 20 * 4, r"row \+0 and column \+20"),
        ((slice(0, 14), slice(5, 25)), (slice(6, 20), slice(0, 20)), 8 * 15, r"row -6 and column \+5"),  # equal shapes
    ],
)
@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_pixels_labelled_in_two_overlapping_crops_would_leak_and_are_refused(
    tmp_path: Path, source: Part, target: Part, count: int, way: str, dtype: str
) -> None:
    name = write_crops(tmp_path, source, target, dtype=dtype)
    message = f"but {count} labelled pixels of source.npy are, by their spectra, .* of target.npy too .{way} there.: .*; leave"
    with pytest.raises(UserError, match=message) as error:
        load_pair(name)
    found = examine(name, None, REACHES, 15)
    assert not found.is_usable
    assert [finding.text for finding in found.findings if finding.level == "error"] == [str(error.value)]


def test_the_way_is_told_in_rows_and_columns_of_the_files(tmp_path: Path) -> None:
    name = write_crops(tmp_path, WEST, EAST, of_target=", rows: [2, 19], columns: [1, 19]")
    with pytest.raises(UserError, match=r"but 54 labelled pixels .*row \+0 and column -20 there"):
        load_pair(name)


def test_crops_that_do_not_overlap_or_whose_labels_do_not_are_a_pair(tmp_path: Path) -> None:
    assert load_pair(write_crops(tmp_path, (slice(None), slice(0, 20)), EAST)).source_labels.all()
    assert load_pair(write_crops(tmp_path, WEST, EAST, of_target=", columns: [4, 19]")).source_labels.all()
    name = write_crops(tmp_path, WEST, EAST)
    labels = np.load(tmp_path / "source_gt.npy")
    labels[:, 20:] = 0
    np.save(tmp_path / "source_gt.npy", labels)
    assert load_pair(name).source_labels[:, :20].all()


def test_fill_values_and_a_pair_of_equal_spectra_are_chance() -> None:
    (first, labels), (second, _) = scene(0), scene(1)
    for value, column in ((0, 3), (65535, 7), (9999, 11)):
        first[:, column] = second[:, column + 1] = value
    second[0, :2] = first[-1, -2:]  # all that the two would share, were they this way apart
    assert find_overlap(first, labels, second, labels) is None
    second[:, 10:] = first[:, 6:-4]
    assert find_overlap(first, labels, second, labels) == Overlap(28 * 20, 0, 4)  # less two columns of fill values


def test_of_two_scenes_in_few_coarse_bands_many_equal_spectra_are_chance() -> None:
    first, second = np.random.default_rng(0).integers(0, 30, (2, 90, 90, 3)).astype(np.uint8)
    labels = np.ones((90, 90), np.uint8)
    assert find_overlap(first, labels, second, labels) is None
    coloured = int(np.count_nonzero(np.ptp(first[20:60], axis=2)))
    assert find_overlap(first[:60], labels[:60], first[20:], labels[20:]) == Overlap(coloured, -20, 0)


def test_a_crop_is_known_where_each_spectrum_fills_several_pixels() -> None:
    cube, labels = scene()
    fine, fine_labels = (array.repeat(3, 0).repeat(3, 1) for array in (cube, labels))
    found = find_overlap(fine[:, :61], fine_labels[:, :61], fine[:, 40:], fine_labels[:, 40:])
    assert found == Overlap(60 * 21, 0, -40)


def test_only_some_of_the_spectra_are_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agsgtl.data.scene.BLOCK_BYTES", 2**16)
    cube = np.random.default_rng(0).integers(0, 9999, (400, 50, 100)).astype(np.uint16)
    labels = np.ones((400, 50), np.uint8)
    tracemalloc.start()
    assert find_overlap(cube[:200], labels[:200], cube[200:], labels[200:]) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < cube.nbytes / 2
