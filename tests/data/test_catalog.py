from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from agsgtl.data import catalog
from agsgtl.data.catalog import CATALOG_FOLDER, PACKAGE_FOLDER, find_pair, pair_names
from agsgtl.data.pairing import load_pair
from agsgtl.data.schema import CatalogEntry
from agsgtl.errors import UserError
from agsgtl.yamlfile import read_yaml

NAMES = ["west_to_east", "east_to_west", "north_to_south", "south_to_north", "notill_to_mintill"]
EVERYTHING = slice(None)
# source rows, columns; target rows, columns; (source ids, target ids): shared/data/README.md, written out as slices
PAIRS = {
    "west_to_east": (
        EVERYTHING,
        slice(0, 70),
        EVERYTHING,
        slice(75, 145),
        [2, 5, 6, 10, 11, 15],
        [2, 5, 6, 10, 11, 15],
    ),
    "east_to_west": (
        EVERYTHING,
        slice(75, 145),
        EVERYTHING,
        slice(0, 70),
        [2, 5, 6, 10, 11, 15],
        [2, 5, 6, 10, 11, 15],
    ),
    "north_to_south": (
        slice(0, 70),
        EVERYTHING,
        slice(75, 145),
        EVERYTHING,
        [2, 3, 5, 6, 10, 11, 14],
        [2, 3, 5, 6, 10, 11, 14],
    ),
    "south_to_north": (
        slice(75, 145),
        EVERYTHING,
        slice(0, 70),
        EVERYTHING,
        [2, 3, 5, 6, 10, 11, 14],
        [2, 3, 5, 6, 10, 11, 14],
    ),
    "notill_to_mintill": (EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING, [2, 10], [3, 11]),
}


def test_indian_pines_and_its_five_pairs_are_listed() -> None:
    assert [name for name in pair_names() if name.startswith("indian_pines/")] == [
        f"indian_pines/{name}" for name in NAMES
    ]


def test_the_bundled_file_is_the_recorded_one_with_its_attribution_beside_it() -> None:
    content = (PACKAGE_FOLDER / "indian_pines" / "indian_pines.npz").read_bytes()
    checksum = "ac1cbb7a1aa720cf24d1c53873901e1bc09d128c4978b80f6d318cc4a6a6b0c6"
    attribution = (PACKAGE_FOLDER / "indian_pines" / "ATTRIBUTION.md").read_text()
    assert hashlib.sha256(content).hexdigest() == checksum
    assert find_pair("indian_pines/west_to_east", None).checksums == {"indian_pines/indian_pines.npz": checksum}
    assert all(words in attribution for words in ("Baumgardner", "10.4231/R7RX991C", "CC BY 3.0", checksum))


@pytest.mark.parametrize("name", NAMES)
def test_each_bundled_pair_is_the_crop_and_classes_of_the_table(name: str) -> None:
    source_rows, source_columns, target_rows, target_columns, source_ids, target_ids = PAIRS[name]
    pair = load_pair(f"indian_pines/{name}")
    with np.load(PACKAGE_FOLDER / "indian_pines" / "indian_pines.npz") as archive:
        cube, labels = archive["cube"], archive["labels"]
    np.testing.assert_array_equal(pair.source_cube, cube[source_rows, source_columns])
    np.testing.assert_array_equal(pair.target_cube, cube[target_rows, target_columns])
    assert pair.source_cube.dtype == np.uint16
    for index, (source_id, target_id) in enumerate(zip(source_ids, target_ids, strict=True), start=1):
        np.testing.assert_array_equal(pair.source_labels == index, labels[source_rows, source_columns] == source_id)
        target = labels[target_rows, target_columns] == target_id
        assert target[pair.development_labels == index].all()
        assert abs(np.count_nonzero(pair.development_labels == index) - target.sum() / 2) <= 0.5


def test_class_names_and_colours_come_from_the_entry_or_the_pair() -> None:
    assert load_pair("indian_pines/west_to_east").class_names[:2] == ("corn-notill", "grass-pasture")
    mixed = load_pair("indian_pines/notill_to_mintill")
    assert mixed.class_names == ("corn", "soybean")
    assert mixed.colours == ("#E69F00", "#CC79A7")


def test_every_entry_has_distinct_colours_and_class_names() -> None:
    for path in CATALOG_FOLDER.glob("*.yaml"):
        classes = CatalogEntry.model_validate(read_yaml(path)).classes.values()
        assert len({row.colour for row in classes}) == len({row.name for row in classes}) == len(classes)


def test_an_unknown_pair_gets_a_suggestion() -> None:
    with pytest.raises(
        UserError, match="'indian_pines/west_east' is no pair of the catalog; did you mean 'indian_pines/west_to_east'"
    ):
        load_pair("indian_pines/west_east")


def test_a_pair_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"gone.yaml: cannot be read: No such file"):
        load_pair("gone.yaml")


def test_a_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    (tmp_path / "indian_pines").mkdir()
    (tmp_path / "indian_pines" / "indian_pines.npz").write_bytes(b"other")
    with pytest.raises(UserError, match=r"indian_pines.npz must have SHA-256 ac1c.* it is another or a damaged file"):
        load_pair("indian_pines/west_to_east", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "scene: june_1992, columns: [0, 69]",
            "scene: june, columns: [0, 69]",
            "pairs.west_to_east: 'june' is no scene",
        ),
        ("classes: [2, 5, 6, 10, 11, 15]", "classes: [2, 99]", r"pairs.west_to_east: \[99\] are no classes"),
        ("bands: 200", "bands: 220", "this scene has 220 bands, but indian_pines/indian_pines.npz has 200"),
    ],
)
def test_a_mistake_in_an_entry_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    text = (CATALOG_FOLDER / "indian_pines.yaml").read_text()
    (tmp_path / "indian_pines.yaml").write_text(text.replace(old, new, 1))
    monkeypatch.setattr(catalog, "CATALOG_FOLDER", tmp_path)
    catalog._entries.cache_clear()
    try:
        with pytest.raises(UserError, match=message):
            load_pair("indian_pines/west_to_east")
    finally:
        catalog._entries.cache_clear()
