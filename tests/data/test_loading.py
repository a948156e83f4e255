"""What a user's pair file can say of axes, bands and source labels; large files go over the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from fake_scenes import write_geotiff, write_mat73

from agsgtl.data import loading, matfile, matfile73, readers, scratch
from agsgtl.data.doctor import examine
from agsgtl.data.labels import draw_labels
from agsgtl.data.mapped import map_pair, unpack_pair
from agsgtl.data.pairing import load_pair
from agsgtl.data.readers import read_array
from agsgtl.data.vault import LabelVault
from agsgtl.errors import UserError

EditPair = Callable[[str, str], str]
SOURCE = "labels: source_labels.npy"


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array takes the way of a large one."""
    for module in (matfile, matfile73, readers, scratch):
        monkeypatch.setattr(module, "LARGE_BYTES", 1)
    for module, name in (
        (matfile73, "_SLAB_BYTES"),
        (readers, "_SLICE_BYTES"),
        (scratch, "_SLAB_BYTES"),
        (matfile, "_SLICE_BYTES"),
    ):
        monkeypatch.setattr(module, name, 64)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("file", ["a.mat", "a7.3.mat", "fortran.npz", "c.npz"])
def test_a_large_array_is_mapped_and_the_same(tmp_path: Path, file: str) -> None:
    cube = np.random.default_rng(0).integers(0, 9999, (7, 5, 6), dtype=np.uint16)
    if file == "a.mat":
        scipy.io.savemat(tmp_path / file, {"HSI": cube}, do_compression=True)
    elif file == "a7.3.mat":
        write_mat73(tmp_path / file, {"HSI": cube})
    else:
        np.savez_compressed(tmp_path / file, HSI=np.asfortranarray(cube) if file == "fortran.npz" else cube)
    read = read_array(tmp_path / file, "HSI")
    np.testing.assert_array_equal(read, cube)
    assert read.dtype == np.uint16
    assert isinstance(read if isinstance(read, np.memmap) else read.base, np.memmap)
    if file.endswith("mat"):
        assert read.flags.c_contiguous


@pytest.mark.usefixtures("small_is_large")
def test_a_large_truncated_file_is_one_clear_line(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"HSI": np.random.default_rng(0).random((9, 8, 7))}, do_compression=True)
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(content[:-500])
    with pytest.raises(UserError, match=r"damaged or no \.mat file"):
        read_array(tmp_path / "a.mat", "HSI")


def test_a_cube_with_bands_first_is_put_right(tiny_file: Path, edit_pair: EditPair) -> None:
    cube = np.load(tiny_file.parent / "source_cube.npy")
    np.save(tiny_file.parent / "source_cube.npy", cube.transpose(2, 0, 1))
    with pytest.raises(UserError, match="in several orders; say theirs"):
        load_pair(str(tiny_file))
    np.testing.assert_array_equal(
        load_pair(edit_pair(SOURCE, f"{SOURCE}, axes: [bands, height, width]")).source_cube, cube
    )
    with pytest.raises(UserError, match=r"source\.axes: must be height, width and bands in the file's order"):
        load_pair(edit_pair("[bands, height, width]", "[bands, height, height]"))


def test_bands_of_each_side_are_chosen(tiny_file: Path, edit_pair: EditPair) -> None:
    edit_pair(SOURCE, f"{SOURCE}, bands: [[0, 1], [4, 6]]")
    pair = load_pair(edit_pair("labels: target_labels.npy", "labels: target_labels.npy, bands: [[3, 7]]"))
    np.testing.assert_array_equal(
        pair.source_cube, np.load(tiny_file.parent / "source_cube.npy")[:, :, [0, 1, 4, 5, 6]]
    )
    np.testing.assert_array_equal(pair.target_cube, np.load(tiny_file.parent / "target_cube.npy")[:, :, 3:])


def test_two_sensors_meet_by_wavelength_and_the_pair_says_so(tiny_file: Path, edit_pair: EditPair) -> None:
    np.save(tiny_file.parent / "target_cube.npy", np.load(tiny_file.parent / "target_cube.npy")[:, :, ::2])
    edit_pair(SOURCE, f"{SOURCE}, wavelengths_nm: [400, 410, 420, 430, 440, 450, 460, 470]")
    edit_pair("labels: target_labels.npy", "labels: target_labels.npy, wavelengths_nm: [402, 421, 439, 458]")
    pair = load_pair(edit_pair("name: tiny", "name: tiny\nmatch_bands: nearest"))
    np.testing.assert_array_equal(pair.source_cube, np.load(tiny_file.parent / "source_cube.npy")[:, :, ::2])
    assert pair.notes == (
        "bands matched by wavelength (nearest) at 4 centres of the target from 402 to 458 nm, at most 2 nm apart",
    )
    assert pair.source_wavelengths_nm is not None
    assert pair.source_wavelengths_nm.tolist() == [400, 420, 440, 460]
    unpack_pair(pair, tiny_file.parent)
    mapped = map_pair(tiny_file.parent, "tiny")
    assert mapped.notes == pair.notes
    assert mapped.target_wavelengths_nm is not None
    assert mapped.target_wavelengths_nm.tolist() == [402, 421, 439, 458]
    other = load_pair(edit_pair("match_bands: nearest", "match_bands: interpolate"))
    assert other.fingerprint != pair.fingerprint


def test_source_pixels_under_target_labels_are_dropped(tiny_file: Path, edit_pair: EditPair) -> None:
    before = load_pair(str(tiny_file))
    pair = load_pair(edit_pair("name: tiny", "name: tiny\ndrop_source_under_target: true"))
    under = np.load(tiny_file.parent / "target_labels.npy") != 0
    np.testing.assert_array_equal(pair.source_labels, np.where(under, 0, before.source_labels))
    assert np.any(before.source_labels[under])
    assert pair.fingerprint != before.fingerprint


def test_source_pixels_are_dropped_only_where_both_crops_are_the_same_rows(
    tiny_file: Path, edit_pair: EditPair
) -> None:
    edit_pair("name: tiny", "name: tiny\ndrop_source_under_target: true")
    edit_pair(SOURCE, f"{SOURCE}, rows: [0, 10]")
    with pytest.raises(UserError, match=r"the source begins at row 0 and column 0 .*, the target at row 1 and .*; cut"):
        load_pair(edit_pair("labels: target_labels.npy", "labels: target_labels.npy, rows: [1, 11]"))
    np.save(tiny_file.parent / "source_cube.npy", np.load(tiny_file.parent / "source_cube.npy")[:11])
    np.save(tiny_file.parent / "source_labels.npy", np.load(tiny_file.parent / "source_labels.npy")[:11])
    assert load_pair(str(tiny_file)).source_labels.any()  # scenes of other sizes: the crops make them fit


def test_source_pixels_are_dropped_under_labels_of_the_same_coordinates(tiny_file: Path, edit_pair: EditPair) -> None:
    pytest.importorskip("rasterio")
    for side, north in (("source", 3_000_000.0), ("target", 2_999_970.0)):  # the target begins a row farther south
        cube = np.load(tiny_file.parent / f"{side}_cube.npy")
        write_geotiff(tiny_file.parent / f"{side}_cube.tif", cube, (30.0, 0, 5e5, 0, -30.0, north), 32614)
        edit_pair(f"{side}_cube.npy", f"{side}_cube.tif")
    with pytest.raises(UserError, match="by their coordinates they are up to 1 pixels apart; cut both alike with"):
        load_pair(edit_pair("name: tiny", "name: tiny\ndrop_source_under_target: true"))
    edit_pair(SOURCE, f"{SOURCE}, rows: [1, 11]")
    pair = load_pair(edit_pair("labels: target_labels.npy", "labels: target_labels.npy, rows: [0, 10]"))
    source, target = (np.load(tiny_file.parent / f"{side}_labels.npy") for side in ("source", "target"))
    np.testing.assert_array_equal(pair.source_labels, np.where(target[:11] != 0, 0, source[1:]))


def test_blocks_change_the_fingerprint_and_drop_near_source_pixels_of_one_cube(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cube, labels = (
        rng.random((120, 40, 6), dtype=np.float32),
        np.kron(rng.integers(1, 3, (20, 10)), np.ones((6, 4), int)).astype(np.uint8),
    )
    np.save(tmp_path / "cube.npy", cube)
    np.save(tmp_path / "labels.npy", labels)
    text = (
        "name: one\nsource: {cube: cube.npy, labels: labels.npy, columns: [0, 19]}\n"
        "target: {cube: cube.npy, labels: labels.npy, columns: [20, 39]}\n"
        "classes: [{name: a, source: 1, target: 1}, {name: b, source: 2, target: 2}]\n"
    )
    pairs = {}
    for split in ("random", "blocks"):
        (tmp_path / "one.yaml").write_text(f"{text}test_pool: {{split: {split}}}\n")
        pairs[split] = load_pair(str(tmp_path / "one.yaml"))
    test = np.argwhere(LabelVault(str(tmp_path / "one.yaml")).test_labels()) + np.array([0, 20])
    source = np.argwhere(pairs["blocks"].source_labels)
    assert len(source)
    assert min(np.abs(test - pixel).max(axis=1).min() for pixel in source) > 21
    assert pairs["random"].fingerprint != pairs["blocks"].fingerprint
    assert np.count_nonzero(pairs["blocks"].source_labels) < np.count_nonzero(pairs["random"].source_labels)
    assert (pairs["random"].buffer_family, pairs["blocks"].buffer_family) == (None, "shallow")
    unpack_pair(pairs["blocks"], tmp_path / "results")
    assert map_pair(tmp_path / "results", "one").buffer_family == "shallow"
    assert draw_labels(pairs["blocks"], 5, 5, 0).target_train.any()


@pytest.mark.parametrize("changed", [False, True])
def test_a_cube_that_is_still_held_is_read_once_unless_its_file_changed(
    tiny_file: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    read: list[str] = []

    def counted(path: Path, name: str | None) -> np.ndarray:
        read.append(path.name)
        return read_array(path, name)

    monkeypatch.setattr(loading, "read_array", counted)
    pair = load_pair(str(tiny_file))
    if changed:
        cube = np.load(tiny_file.parent / "target_cube.npy") + np.float32(1)
        np.save(tiny_file.parent / "target_cube.npy", cube)
        os.utime(tiny_file.parent / "target_cube.npy", ns=(0, 0))
        with pytest.raises(UserError, match="its files have changed since it was trained on"):
            LabelVault(str(tiny_file)).test_labels(pair.fingerprint)
    else:
        LabelVault(str(tiny_file)).test_labels(pair.fingerprint)
    assert read.count("target_cube.npy") == (2 if changed else 1)
    assert read.count("target_labels.npy") == 2


@pytest.mark.parametrize("files", [1, 2])
def test_target_labels_that_lie_turned_on_a_square_scene_are_refused(tmp_path: Path, files: int) -> None:
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(1, 3, (12, 12)), np.ones((5, 5), int))
    cube = (truth[:, :, None] + 0.05 * rng.random((60, 60, 6))).astype(np.float32)
    north = np.arange(60)[:, None] < 28
    for name, array in (
        ("cube", cube),
        ("cube2", cube + rng.normal(0, 0.01, cube.shape).astype(np.float32)),
        ("source", np.where(north, truth, 0)),
        ("target", np.where(north, 0, truth)),
        ("turned", np.where(north, 0, truth).T),
    ):
        np.save(tmp_path / f"{name}.npy", array)

    def load(target: str, axes: str = "", columns: str = "[32, 59]") -> str:
        (tmp_path / "one.yaml").write_text(
            f"name: one\nsource: {{cube: cube.npy, labels: source.npy, columns: [0, 31]{axes}}}\n"
            f"target: {{cube: {'cube' if files == 1 else 'cube2'}.npy, labels: {target}.npy, columns: {columns}{axes}}}\n"
            "classes: [{name: a, source: 1, target: 1}, {name: b, source: 2, target: 2}]\n"
        )
        return load_pair(str(tmp_path / "one.yaml")).name

    with pytest.raises(
        UserError, match=r"target: cube2?\.npy: height and width of this square scene seem to be swapped"
    ):
        load("turned")
    assert load("target") == load("turned", axes=", axes: [height, width, bands]") == "one"


def test_scenes_without_a_labelled_pixel_are_one_line_to_the_doctor_and_to_a_run(tiny_file: Path) -> None:
    for side in ("source", "target"):
        np.save(tiny_file.parent / f"{side}_labels.npy", np.zeros((12, 12), np.uint8))
    with pytest.raises(UserError, match="but no pixel of the source has it; ids there: none"):
        load_pair(str(tiny_file))
    assert not examine(str(tiny_file), None, {}, 15).is_usable
