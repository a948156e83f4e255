"""The doctor names every fault with its remedy, all at once, and measures how much a test pool leaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from agsgtl.data.doctor import Checkup, examine
from agsgtl.data.indices import write_index_file
from agsgtl.data.picture import draw_pair, thinned
from agsgtl.errors import UserError

EditPair = Callable[[str, str], str]
REACHES = {"shallow": (1, 2), "depthwise": (3, 6)}


def checkup(file: Path, needed: int = 15) -> Checkup:
    return examine(str(file), None, REACHES, needed)


def change(file: Path, name: str, change_array: Callable[[np.ndarray], np.ndarray]) -> None:
    path = file.parent / f"{name}.npy"
    np.save(path, change_array(np.load(path)))


def set_band(value: float, pixels: int = 144) -> Callable[[np.ndarray], np.ndarray]:
    """Band 3 of the first so many pixels gets a value."""

    def change_array(cube: np.ndarray) -> np.ndarray:
        cube.reshape(-1, 8)[:pixels, 3] = value
        return cube

    return change_array


def set_label(value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change_array(labels: np.ndarray) -> np.ndarray:
        labels.flat[np.flatnonzero(labels == 0)[:5]] = value
        return labels

    return change_array


FAULTS = [
    (
        "error",
        "target_cube",
        lambda cube: cube.transpose(2, 0, 1),
        r"the cube's axes \(8, 12, 12\) fit the label image .* in several orders; say",
    ),
    (
        "error",
        "target_labels",
        lambda labels: labels[:11],
        r"label image must have the cube's height and width \(12, 12\).*\(11, 12\)",
    ),
    (
        "warning",
        "source_labels",
        set_label(9),
        "source: label ids 9 have no name, and their 5 pixels count as unlabelled; list them",
    ),
    (
        "error",
        "target_labels",
        lambda labels: np.where(labels == 12, 0, labels),
        "class 'class 2' is id 12 in the target's label image, but no pixel",
    ),
    ("warning", "source_cube", set_band(0.5), "source: bands 3 are constant; leave them out with `bands`"),
    (
        "error",
        "source_cube",
        set_band(np.nan, 2),
        r"bands 3 have NaN or infinite values \(2 in all\); leave these bands out",
    ),
    (
        "warning",
        "target_cube",
        set_band(99.0, 30),
        r"bands 3 hold the highest value 99 in up to 20\.8% of the pixels: saturated",
    ),
    ("warning", "source_cube", set_band(-1.0, 2), r"values are negative .* reflectance cannot be"),
    (
        "warning",
        "target_cube",
        lambda cube: cube * 10_000,
        "the scenes are in different units: .* rescale one, or keep data.normalisation per_domain",
    ),
]


@pytest.mark.parametrize(("level", "name", "change_array", "message"), FAULTS)
def test_every_fault_is_found_and_named_with_the_remedy(
    tiny_file: Path, level: str, name: str, change_array: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    change(tiny_file, name, change_array)
    found = checkup(tiny_file)
    matching = [finding for finding in found.findings if re.search(message, finding.text)]
    assert matching, [str(finding) for finding in found.findings]
    assert matching[0].level == level
    assert found.is_usable == (level == "warning")
    assert all("\n" not in finding.text for finding in found.findings)


def test_transposed_axes_that_were_put_right_are_told(tiny_file: Path) -> None:
    for name in ("target_cube", "target_labels"):
        change(tiny_file, name, lambda array: array[:11])
    change(tiny_file, "target_cube", lambda cube: cube.transpose(2, 0, 1))
    found = checkup(tiny_file)
    assert found.is_usable
    assert any("transposed in its file, (8, 11, 12); they are read as" in finding.text for finding in found.findings)


def test_the_one_highest_value_of_a_small_scene_is_not_saturated(tiny_file: Path) -> None:
    assert not any("saturated" in finding.text for finding in checkup(tiny_file).findings)


def test_faults_of_both_scenes_are_told_at_once(tiny_file: Path) -> None:
    change(tiny_file, "source_cube", set_band(np.nan))
    (tiny_file.parent / "target_cube.npy").unlink()
    texts = [finding.text for finding in checkup(tiny_file).findings]
    assert any("NaN" in text for text in texts)
    assert any("no file 'target_cube.npy'" in text for text in texts)


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        ("[400, 410, 405, 420, 430, 440, 450, 460]", "wavelengths do not increase at bands 2:"),
        ("[0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]", "are no nanometres; multiply micrometres by 1000"),
        ("[400, 410]", r"wavelengths must be one number a band, but their shape is \(2,\)"),
    ],
)
def test_wavelengths_out_of_order_or_in_another_unit(edit_pair: EditPair, centres: str, message: str) -> None:
    edited = edit_pair("labels: source_labels.npy", f"labels: source_labels.npy, wavelengths_nm: {centres}")
    found = examine(edited, None, REACHES, 15)
    assert any(re.search(message, finding.text) for finding in found.findings), found.findings


def test_ids_of_one_scene_only_are_named_where_both_count_alike(tiny_file: Path) -> None:
    change(tiny_file, "target_labels", lambda labels: np.where(labels, labels - 10, 0).astype(np.uint8))
    change(tiny_file, "source_labels", set_label(7))
    tiny_file.write_text(tiny_file.read_text().replace("target: 1", "target: "))
    texts = [finding.text for finding in checkup(tiny_file).findings]
    assert any("label ids 7 are in the source only; no method can transfer them" in text for text in texts), texts


def test_too_few_pixels_for_k_and_validation_are_an_error(tiny_file: Path) -> None:
    assert checkup(tiny_file, needed=20).is_usable
    found = checkup(tiny_file, needed=21)
    assert not found.is_usable
    assert (
        "class 'class 1' has 20 target pixels outside the test pool, but k + v = 21 are needed"
        in found.findings[-3].text
    )


@pytest.mark.parametrize(("needed", "is_usable"), [(25, True), (26, False)])
def test_with_the_authors_split_k_and_validation_must_leave_test_pixels(
    tiny_file: Path, needed: int, is_usable: bool
) -> None:
    tiny_file.write_text(tiny_file.read_text() + "test_pool: {split: authors}\n")
    found = checkup(tiny_file, needed)
    assert found.is_usable == is_usable
    texts = [finding.text for finding in found.findings if finding.level == "error"]
    message = "class 'class 1' has 40 target pixels in all, but k + v = 26 and 15 to test on are needed"
    assert any(message in text and text.endswith("lower test_pool.minimum") for text in texts) != is_usable


def test_a_wrong_checksum_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "indian_pines").mkdir()
    (tmp_path / "indian_pines" / "indian_pines.npz").write_bytes(b"other")
    found = examine("indian_pines/west_to_east", tmp_path, REACHES, 15)
    assert "must have SHA-256" in found.findings[0].text
    assert len(found.findings) == 1


def test_an_unknown_pair_has_nothing_to_examine() -> None:
    with pytest.raises(UserError, match="is no pair of the catalog"):
        examine("indian_pines/moon", None, REACHES, 15)


def test_counts_and_distances_are_hand_computed(tiny_file: Path) -> None:
    labels = np.load(tiny_file.parent / "target_labels.npy")
    top = np.flatnonzero((labels > 0) & (np.arange(12)[:, None] < 4))
    tiny_file.write_text(tiny_file.read_text() + "test_pool: {split: fixed, indices: test.json, minimum: 1}\n")
    write_index_file(tiny_file.parent / "test.json", top, labels.shape)
    found = checkup(tiny_file)
    tested = labels.flat[top]
    assert [row.test for row in found.rows] == [np.count_nonzero(tested == index) for index in (11, 12, 13)]
    assert [row.source for row in found.rows] == [40, 40, 40]
    training = np.argwhere((labels > 0) & (np.arange(12)[:, None] >= 4))
    distances = np.array([np.abs(training - (pixel // 12, pixel % 12)).max(axis=1).min() for pixel in top])
    leak = found.leak
    assert leak is not None
    assert (leak.nearest, leak.median) == (distances.min(), np.median(distances))
    assert leak.in_view == pytest.approx(np.mean(distances <= 1))
    assert leak.seen == pytest.approx(np.mean(distances <= 2))
    assert leak.overlapping == pytest.approx(np.mean(distances <= 3))
    assert not leak.counts_source


def test_in_one_cube_the_sources_pixels_count_as_training() -> None:
    leak = examine("indian_pines/notill_to_mintill", None, REACHES, 15).leak
    assert leak is not None
    assert leak.counts_source


def test_the_picture_shows_both_scenes(tiny_file: Path, tmp_path: Path) -> None:
    found = checkup(tiny_file)
    assert found.pair is not None
    assert found.test is not None
    draw_pair(tmp_path / "pair.png", found.pair, found.test)
    assert imread(tmp_path / "pair.png").shape[:2] == (800, 1200)


def test_a_single_labelled_pixel_stays_in_a_thinned_picture() -> None:
    labels = np.zeros((5, 7), np.uint8)
    labels[4, 5] = 3
    assert thinned(labels, 2).tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 3, 0]]
    np.testing.assert_array_equal(thinned(labels, 1), labels)
