"""Every entry of the catalog, read from small fakes of its files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from fake_scenes import make_fake_scenes

from agsgtl.data.catalog import entries, pair_names
from agsgtl.data.pairing import load_pair
from agsgtl.data.readers import read_array
from agsgtl.data.vault import LabelVault
from agsgtl.errors import UserError

FAKED = [name for name in pair_names() if not name.startswith("indian_pines/")]
SINGLE = ["botswana_scene/may_2001", "salinas/1998", "ksc/1996"]


def make(pair_or_scene: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fakes of an entry's files; their checksums cannot be the real ones'."""
    entry = make_fake_scenes(pair_or_scene.split("/", maxsplit=1)[0], folder)
    for file in entry.files:
        monkeypatch.setitem(entry.files, file, None)


@pytest.mark.parametrize("name", FAKED)
def test_every_pair_loads_from_files_with_the_real_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(name, tmp_path, monkeypatch)
    pair, test = load_pair(name, tmp_path), LabelVault(name, tmp_path).test_labels()
    assert pair.source_cube.shape[:2] == pair.target_cube.shape[:2] == (50, 40)
    for image in (pair.source_labels, pair.development_labels, test):
        assert set(np.unique(image)) == set(range(pair.classes + 1))


@pytest.mark.parametrize("scene", SINGLE)
def test_a_single_scene_is_cut_into_a_users_pair(scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(scene, tmp_path, monkeypatch)
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"name: mine\nsource: {{scene: {scene}, rows: [0, 22]}}\ntarget: {{scene: {scene}, rows: [27, 49]}}\n"
        "test_pool: {minimum: 5}\nclasses: [{name: a, source: 1, target: 1}, {name: b, source: 2, target: 2}]\n"
    )
    pair = load_pair(str(file))
    assert (pair.source_cube.shape[0], pair.target_cube.shape[0]) == (23, 23)
    assert pair.source_cube.shape[2] == entries()[scene.split("/", maxsplit=1)[0]].scenes[scene.split("/")[1]].bands


def test_a_scene_that_is_not_in_the_catalog_gets_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nsource: {scene: salina/1998}\ntarget: {scene: salinas/1998}\nclasses: []\n")
    with pytest.raises(UserError, match="'salina/1998' is no scene of the catalog; did you mean 'salinas/1998'"):
        load_pair(str(file))


def test_houstons_source_labels_are_the_sunlit_ones_of_the_six_classes(tmp_path: Path) -> None:
    make_fake_scenes("houston_shadow", tmp_path)
    pair = load_pair("houston_shadow/sun_to_shadow", tmp_path)
    sun, shadow = (read_array(tmp_path / f, None) for f in ("TRLabel.mat", "target_label_shadow.mat"))
    expected = np.zeros(16, np.uint8)
    expected[[1, 2, 8, 10, 11, 13]] = [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(pair.source_labels, np.where(shadow == 0, expected[sun], 0))
    np.testing.assert_array_equal(
        np.maximum(pair.development_labels, LabelVault(pair.name, tmp_path).test_labels()), shadow
    )
    assert np.any((sun > 0) & (shadow > 0)), "the fake must have labels to drop"
    assert pair.class_names == ("healthy grass", "stressed grass", "commercial", "highway", "railway", "parking lot 2")
    assert pair.source_cube is not pair.target_cube
    assert pair.source_part is not None
    assert pair.target_part is not None
    assert pair.source_part.checksum == pair.target_part.checksum


def test_botswanas_source_pixels_under_target_labels_are_dropped(tmp_path: Path) -> None:
    make_fake_scenes("botswana", tmp_path)
    may, july = (read_array(tmp_path / f"gt_{month}_bot.mat", "cdata") for month in (5, 7))
    pair = load_pair("botswana/may_to_july", tmp_path)
    np.testing.assert_array_equal(pair.source_labels, np.where(july == 0, may, 0))
    assert pair.authors_settings == "botswana"


def test_berlin_has_its_242_bands_padded_to_252_and_says_so(tmp_path: Path) -> None:
    make_fake_scenes("c2seg_ab", tmp_path)
    pair = load_pair("c2seg_ab/augsburg_to_berlin", tmp_path)
    assert pair.target_cube.shape == (50, 40, 252)
    assert not pair.target_cube[:, :, 242:].any()
    assert pair.notes == ("bands padded with zeros from 242 to 252, a multiple of 21",)
    assert (pair.authors_settings, pair.authors_scale) == ("c2seg_ab", (16383.0, 1.0))


def test_pavias_universities_last_band_is_left_out_and_ids_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("pavia", tmp_path, monkeypatch)
    pair = load_pair("pavia/university_to_centre", tmp_path)
    np.testing.assert_array_equal(pair.source_cube, read_array(tmp_path / "PaviaU.mat", "paviaU")[:, :, :102])
    meadows = pair.class_names.index("meadows") + 1
    np.testing.assert_array_equal(pair.source_labels == meadows, read_array(tmp_path / "PaviaU_gt.mat", None) == 2)


def test_a_missing_file_says_where_it_comes_from_and_where_it_was_looked_for(tmp_path: Path) -> None:
    message = (
        "no file 'HU_cube.mat'; it comes from the 2013 IEEE.*looked for in .*; "
        "name its folder in AGSGTL_DATA, or with the --root of `agsgtl data`"
    )
    with pytest.raises(UserError, match=message):
        load_pair("houston_shadow/sun_to_shadow", tmp_path)


def test_the_variable_and_a_folder_of_the_entrys_name_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_fake_scenes("botswana", tmp_path / "botswana")
    monkeypatch.setenv("AGSGTL_DATA", str(tmp_path))
    assert load_pair("botswana/may_to_july").classes == 9


def test_a_users_own_file_is_never_replaced_by_one_of_the_variables_folder(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = np.load(tiny_file.parent / "source_cube.npy")
    (tmp_path / "catalog").mkdir()
    np.save(tmp_path / "catalog" / "source_cube.npy", mine + 1)
    monkeypatch.setenv("AGSGTL_DATA", str(tmp_path / "catalog"))
    np.testing.assert_array_equal(load_pair(str(tiny_file)).source_cube, mine)
    (tiny_file.parent / "source_cube.npy").unlink()
    with pytest.raises(UserError, match=r"no file 'source_cube\.npy'; .*; give its path from the pair file's folder"):
        load_pair(str(tiny_file))


def test_beside_a_scene_of_the_catalog_a_users_file_of_the_same_name_is_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "catalog"
    make("salinas/1998", folder, monkeypatch)
    monkeypatch.setenv("AGSGTL_DATA", str(folder))
    scene = entries()["salinas"].scenes["1998"]
    catalogs, own = read_array(folder / scene.cube, scene.cube_array), tmp_path / scene.cube
    scipy.io.savemat(own, {"mine": catalogs.astype(np.float32) + 1})
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nsource: {scene: salinas/1998, rows: [0, 22]}\n"
        f"target: {{cube: {own.name}, labels: {folder / scene.labels}, rows: [27, 49]}}\n"
        "test_pool: {minimum: 5}\nclasses: [{name: a, source: 1, target: 1}, {name: b, source: 2, target: 2}]\n"
    )
    monkeypatch.setitem(
        entries()["salinas"].files, scene.cube, hashlib.sha256((folder / scene.cube).read_bytes()).hexdigest()
    )
    pair = load_pair(str(tmp_path / "mine.yaml"))
    np.testing.assert_array_equal(pair.source_cube, catalogs[:23])
    np.testing.assert_array_equal(pair.target_cube, catalogs[27:].astype(np.float32) + 1)


@pytest.mark.skipif(
    "AGSGTL_HOUSTON_LABELS" not in os.environ, reason="AGSGTL_HOUSTON_LABELS names no folder with TRLabel.mat"
)
def test_the_real_houston_label_maps_are_read() -> None:
    folder = Path(os.environ["AGSGTL_HOUSTON_LABELS"])
    for name, count in (("TRLabel", 2832), ("TSLabel", 12197)):
        labels = read_array(folder / f"{name}.mat", name)
        assert labels.shape == (349, 1905)
        assert labels.dtype == np.uint8
        assert np.count_nonzero(labels) == count
        assert set(np.unique(labels)) == set(range(16))
        np.testing.assert_array_equal(labels, scipy.io.loadmat(folder / f"{name}.mat")[name])
