from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agsgtl.data.pairing import DomainPair, load_pair
from agsgtl.errors import UserError

EditPair = Callable[[str, str], str]


def test_shared_classes_are_one_to_k_in_the_files_order(tmp_path: Path, edit_pair: EditPair) -> None:
    name = edit_pair("source: 1, target: 11}", "source: 3, target: 12, colour: '#102030'}")
    name = edit_pair("source: 2, target: 12}", "source: 1, target: 13}")
    name = edit_pair("source: 3, target: 13}", "source: 2, target: 11}")
    pair = load_pair(name)
    raw_source = np.load(tmp_path / "scenes" / "source_labels.npy")
    raw_target = np.load(tmp_path / "scenes" / "target_labels.npy")
    np.testing.assert_array_equal(pair.source_labels, np.array([0, 2, 3, 1])[raw_source])
    expected = np.array([0, 3, 1, 2])[np.where(raw_target, raw_target - 10, 0)]
    np.testing.assert_array_equal(pair.development_labels, np.where(pair.development_labels, expected, 0))
    assert pair.classes == 3
    assert pair.colours[0] == "#102030"


def test_cubes_keep_axes_values_and_dtype(tiny: DomainPair, tiny_file: Path) -> None:
    for cube, file in ((tiny.source_cube, "source_cube.npy"), (tiny.target_cube, "target_cube.npy")):
        np.testing.assert_array_equal(cube, np.load(tiny_file.parent / file))
        assert cube.shape == (12, 12, 8)
        assert cube.dtype == np.float32


def test_ids_outside_the_shared_classes_are_unlabelled(edit_pair: EditPair) -> None:
    pair = load_pair(edit_pair("  - {name: class 2, source: 2, target: 12}\n", ""))
    assert np.bincount(pair.source_labels.ravel()).tolist() == [144 - 80, 40, 40]


def test_a_crop_takes_first_to_last_row_and_column(edit_pair: EditPair, tiny_file: Path) -> None:
    pair = load_pair(
        edit_pair("labels: source_labels.npy", "labels: source_labels.npy, rows: [2, 9], columns: [1, 10]")
    )
    np.testing.assert_array_equal(pair.source_cube, np.load(tiny_file.parent / "source_cube.npy")[2:10, 1:11])
    np.testing.assert_array_equal(pair.source_labels, np.load(tiny_file.parent / "source_labels.npy")[2:10, 1:11])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "source: 1,",
            "source: 7,",
            "class 'class 1' is id 7 in the source's label image, but no pixel .*ids there: 1, 2, 3",
        ),
        ("target: 11", "target: 1", "class 'class 1' is id 1 in the target's label image, .*ids there: 11, 12, 13"),
        ("source: 1,", "source: 2,", "source id 2 stands twice"),
        ("target: 11", "target: 12", "target id 12 stands twice"),
        ("name: class 1", "name: class 2", "name class 2 stands twice"),
        ("source: 1,", "source: one,", r"classes\.0\.source: .*integer, got 'one'"),
        ("source: 1,", "source: 0,", r"classes\.0\.source: .*greater than or equal to 1, got 0"),
        ("source: 1,", "sorce: 1,", r"classes\.0\.source: this key is missing; classes\.0\.sorce: no such key"),
        ("target: 11}", "target: 11, colour: red}", r"classes\.0\.colour: .*got 'red'"),
        ("name: tiny", "name: a/b", "'/' is kept for the catalog's pairs"),
        ("name: tiny", "name: a__b", "name: must be letters, digits"),
        ("name: tiny", "name: tiny\nbands: 8", "bands: no such key"),
        ("name: tiny", "name: average", "name: 'average' is the header of a column in tables; give the pair another"),
        ("name: tiny", "name: Method", "name: 'Method' is the header of a column in tables"),
        ("name: tiny", "name: tiny\ntest_pool: {fraction: 1.5}", r"test_pool\.fraction: .*less than 1, got 1.5"),
        (
            "name: tiny",
            "name: tiny\ntest_pool: {split: authors, fraction: 0.5, seed: 0}",
            "`split: authors` reads minimum only, got fraction, seed; leave that out",
        ),
        (
            "name: tiny",
            "name: tiny\ntest_pool: {split: fixed, indices: a.json, seed: 1}",
            "`split: fixed` reads indices, minimum only, got seed",
        ),
        ("name: tiny", "name: tiny\ntest_pool: {network: shallow}", "`split: random` reads .* only, got network"),
        (
            "name: tiny",
            "name: tiny\ntest_pool: {minimum: 40}",
            "class 'class 1' has 40 labelled target pixels, too few for 40 test",
        ),
        ("name: tiny", "name: tiny\nauthors_settings: huston", "did you mean 'houston'?"),
        ("source_cube.npy", "gone.npy", "there is no file 'gone.npy'; it was looked for in .*scenes"),
        (
            "cube: source_cube.npy",
            "cube: source_cube.npy, rows: [0, 12]",
            r"rows \[0, 12\].*has 12 rows and 12 columns",
        ),
        ("cube: source_cube.npy", "cube: source_cube.npy, rows: [5, 2]", r"source\.rows: must be \[first, last\]"),
        (
            "cube: source_cube.npy",
            "cube: source_cube.npy, bands: [[0, 3], [5, 2]]",
            r"source\.bands\.1: must be \[first, last\] with first <= last, got \[5, 2\]",
        ),
        ("cube: source_cube.npy", "cube: source_cube.npy, bands: []", r"source\.bands: .*at least 1 item.*, got \[\]"),
        ("source_cube.npy", f"{'a' * 300}.npy", "'a{80}' cannot be looked for: File name too long; correct"),
        ("cube: source_cube.npy", "cube: source_labels.npy", "source: a cube must have three axes"),
        ("labels: source_labels.npy", "labels: source_cube.npy", "source_cube.npy: class ids must be whole numbers"),
    ],
)
def test_every_mistake_in_a_pair_file_is_one_clear_line(edit_pair: EditPair, old: str, new: str, message: str) -> None:
    name = edit_pair(old, new)
    with pytest.raises(UserError, match=message) as error:
        load_pair(name)
    assert str(error.value).startswith(name)
    assert "\n" not in str(error.value)


def test_a_pair_needs_two_classes(tiny_file: Path) -> None:
    text = tiny_file.read_text()
    tiny_file.write_text(text[: text.index("  - {name: class 2")])
    with pytest.raises(UserError, match="classes: must be 2 to 254, got 1"):
        load_pair(str(tiny_file))


def test_cubes_of_different_bands_are_refused(tiny_file: Path) -> None:
    path = tiny_file.parent / "target_cube.npy"
    np.save(path, np.load(path)[:, :, :7])
    with pytest.raises(UserError, match="the source has 8 and the target 7; choose them with `bands` on each side"):
        load_pair(str(tiny_file))


def test_a_label_image_of_another_size_is_refused(tiny_file: Path) -> None:
    path = tiny_file.parent / "target_labels.npy"
    np.save(path, np.load(path)[:11])
    with pytest.raises(
        UserError, match=r"target: the label image must have the cube's height and width \(12, 12\).*\(11, 12\)"
    ):
        load_pair(str(tiny_file))


@pytest.mark.parametrize("bands", [("", ""), (", bands: [[0, 3]]", ", bands: [[4, 7]]")])
def test_a_pixel_labelled_in_both_domains_of_one_cube_would_leak_and_is_refused(
    edit_pair: EditPair, bands: tuple[str, str]
) -> None:
    edit_pair("labels: source_labels.npy", f"labels: source_labels.npy{bands[0]}")
    edit_pair("labels: target_labels.npy", f"labels: target_labels.npy{bands[1]}")
    edit_pair("cube: target_cube.npy", "cube: source_cube.npy")
    with pytest.raises(
        UserError, match=r"must share no labelled pixel, but \d+ are labelled in both; give each side its own rows"
    ):
        load_pair(edit_pair("name: tiny", "name: same-cube"))


COPIES: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda cube: cube.astype(np.float64),
    lambda cube: np.roll(cube, 3, axis=2),
    lambda cube: np.concatenate([cube[:, :, :1], cube[:, :, 1:] * 2], axis=2),
]


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("same_labels", [True, False])
def test_a_copy_of_the_cube_in_another_file_is_one_scene_and_would_leak(
    tiny_file: Path, copied: Callable[[np.ndarray], np.ndarray], same_labels: bool
) -> None:
    np.save(tiny_file.parent / "target_cube.npy", copied(np.load(tiny_file.parent / "source_cube.npy")))
    if same_labels:
        np.save(tiny_file.parent / "target_labels.npy", np.load(tiny_file.parent / "source_labels.npy"))
        tiny_file.write_text(tiny_file.read_text().replace("target: 1", "target: "))
    with pytest.raises(UserError, match=r"must share no labelled pixel, but \d+ are labelled in both"):
        load_pair(str(tiny_file))


def test_a_copy_is_known_by_its_files_also_where_the_two_sides_use_other_bands(
    tiny_file: Path, edit_pair: EditPair
) -> None:
    np.save(tiny_file.parent / "target_cube.npy", np.load(tiny_file.parent / "source_cube.npy").astype(np.float64))
    edit_pair("labels: source_labels.npy", "labels: source_labels.npy, bands: [[0, 3]]")
    with pytest.raises(UserError, match="must share no labelled pixel"):
        load_pair(edit_pair("labels: target_labels.npy", "labels: target_labels.npy, bands: [[4, 7]]"))


def test_two_dates_on_one_grid_with_one_label_map_and_a_dead_band_are_two_scenes(tiny_file: Path) -> None:
    source, rng = np.load(tiny_file.parent / "source_cube.npy"), np.random.default_rng(1)
    source[:, :, 4] = 0
    np.save(tiny_file.parent / "source_cube.npy", source)
    np.save(tiny_file.parent / "target_cube.npy", source * rng.uniform(1, 1.1, source.shape).astype(np.float32))
    np.save(tiny_file.parent / "target_labels.npy", np.load(tiny_file.parent / "source_labels.npy"))
    tiny_file.write_text(tiny_file.read_text().replace("target: 1", "target: "))
    pair = load_pair(str(tiny_file))
    assert not pair.shares_cube
    assert np.any((pair.source_labels > 0) & (pair.development_labels > 0))


@pytest.mark.parametrize("source", ["", ", axes: [height, width, bands]"])
@pytest.mark.parametrize("height", [11, 12])
def test_one_cube_must_not_be_turned_for_one_side(
    tiny_file: Path, edit_pair: EditPair, source: str, height: int
) -> None:
    for name in ("source_cube", "source_labels", "target_labels"):
        array = np.load(tiny_file.parent / f"{name}.npy")[:height]
        np.save(tiny_file.parent / f"{name}.npy", array.T if name == "target_labels" else array)
    edit_pair("labels: source_labels.npy", f"labels: source_labels.npy{source}")
    edit_pair("labels: target_labels.npy", "labels: target_labels.npy, axes: [width, height, bands]")
    with pytest.raises(UserError, match="say the same `axes` on both sides"):
        load_pair(edit_pair("cube: target_cube.npy", "cube: source_cube.npy"))


def test_root_is_searched_first(tiny_file: Path, tmp_path: Path) -> None:
    other = np.load(tiny_file.parent / "source_cube.npy") + 1
    (tmp_path / "root").mkdir()
    np.save(tmp_path / "root" / "source_cube.npy", other)
    np.testing.assert_array_equal(load_pair(str(tiny_file), tmp_path / "root").source_cube, other)


def test_loading_twice_gives_one_fingerprint(tiny: DomainPair, tiny_file: Path) -> None:
    assert load_pair(str(tiny_file)).fingerprint == tiny.fingerprint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: tiny", "name: tiny\ntest_pool: {seed: 1}"),
        ("name: tiny", "name: tiny\nauthors_scale: [16383, 1]"),
        ("name: tiny", "name: tiny\nauthors_settings: botswana"),
        ("source: 1, target: 11", "source: 1, target: 14"),
        ("cube: source_cube.npy", "cube: source_cube.npy, rows: [0, 10]"),
        ("cube: source_cube.npy", "cube: other_cube.npy"),
        ("labels: source_labels.npy", "labels: other_labels.npy"),
    ],
)
def test_the_fingerprint_changes_with_what_can_change_a_result(
    tiny: DomainPair, tiny_file: Path, edit_pair: EditPair, old: str, new: str
) -> None:
    folder = tiny_file.parent
    cube, labels = np.load(folder / "source_cube.npy"), np.load(folder / "source_labels.npy")
    cube[0, 0, 0] += 1
    labels.flat[np.flatnonzero(labels)[0]] = 0
    np.save(folder / "other_cube.npy", cube)
    np.save(folder / "other_labels.npy", labels)
    if "14" in new:
        target = np.load(folder / "target_labels.npy")
        np.save(folder / "target_labels.npy", np.where(target == 11, 14, target))
    assert load_pair(edit_pair(old, new)).fingerprint != tiny.fingerprint


def test_the_fingerprint_ignores_names_of_files_and_colours(
    tiny: DomainPair, tiny_file: Path, edit_pair: EditPair
) -> None:
    (tiny_file.parent / "source_cube.npy").rename(tiny_file.parent / "moved.npy")
    edit_pair("target: 11}", "target: 11, colour: '#123456'}")
    assert load_pair(edit_pair("source_cube.npy", "moved.npy")).fingerprint == tiny.fingerprint


def test_a_contradictory_pair_cannot_be_built(tiny: DomainPair) -> None:
    with pytest.raises(ValueError, match="band counts differ: 7 and 8"):
        dataclasses.replace(tiny, source_cube=tiny.source_cube[:, :, :7])
    with pytest.raises(ValueError, match=r"label image must be uint8 \(12, 12\) with 0..3"):
        dataclasses.replace(tiny, development_labels=tiny.development_labels + 1)
