"""Who may see a test label: the vault, and nobody else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import agsgtl
from agsgtl.data.labels import draw_labels
from agsgtl.data.mapped import map_pair, unpack_pair
from agsgtl.data.pairing import DomainPair, load_pair
from agsgtl.data.vault import LabelVault
from agsgtl.errors import UserError


def label_images(*holders: object) -> list[np.ndarray]:
    """Every two-dimensional array in the fields of dataclasses."""
    values = [getattr(holder, field.name) for holder in holders for field in dataclasses.fields(holder)]  # type: ignore[arg-type]
    return [value for value in values if isinstance(value, np.ndarray) and value.ndim == 2]


def test_test_and_development_pool_are_disjoint_and_make_the_target_labels(tiny: DomainPair, tiny_file: Path) -> None:
    test = LabelVault(str(tiny_file)).test_labels(tiny.fingerprint)
    raw = np.load(tiny_file.parent / "target_labels.npy")
    assert not np.any((test > 0) & (tiny.development_labels > 0))
    np.testing.assert_array_equal(np.maximum(test, tiny.development_labels), np.where(raw, raw - 10, 0))
    assert np.bincount(test.ravel())[1:].tolist() == [20, 20, 20]


def test_no_target_test_label_is_in_a_pair_a_draw_or_an_unpacked_folder(tiny_file: Path, tmp_path: Path) -> None:
    labels = np.zeros((12, 12), np.uint8)
    np.save(tiny_file.parent / "source_labels.npy", labels + np.repeat([1, 2, 3], 4)[None, :].astype(np.uint8))
    pair = load_pair(str(tiny_file))
    test = LabelVault(str(tiny_file)).test_labels()
    unpack_pair(pair, tmp_path / "sweep")
    mapped = map_pair(tmp_path / "sweep", pair.name)
    draw = draw_labels(pair, 10, 10, 0)
    targets = [pair.development_labels, mapped.development_labels, draw.target_train, draw.target_validation]
    assert all(not image[test > 0].any() for image in targets)
    assert len(label_images(pair, mapped, draw)) == 8  # the four above and four of the source, which is another scene
    with np.load(tmp_path / "sweep" / "pairs" / "tiny.npz") as archive:
        assert sorted(archive.files) == ["description", "development_labels", "source_labels"]
    whole = np.maximum(test, pair.development_labels)
    files = [path.read_bytes() for path in (tmp_path / "sweep").rglob("*") if path.is_file()]
    assert len(files) == 3
    assert not any(
        secret.tobytes() in content for content in files for secret in (test, whole, whole + 10 * (whole > 0))
    )


@pytest.mark.parametrize("name", ["indian_pines/west_to_east", "indian_pines/notill_to_mintill"])
def test_no_source_label_of_a_bundled_pair_lies_on_a_test_pixel(name: str) -> None:
    pair, test = load_pair(name), LabelVault(name).test_labels()
    full = np.zeros((2, 145, 145), bool)
    assert pair.source_part is not None
    assert pair.target_part is not None
    full[0, slice(*pair.source_part.rows), slice(*pair.source_part.columns)] = pair.source_labels > 0
    full[1, slice(*pair.target_part.rows), slice(*pair.target_part.columns)] = test > 0
    assert not full.all(axis=0).any()


def test_the_test_pool_is_the_same_whatever_was_drawn(tiny: DomainPair, tiny_file: Path) -> None:
    first = LabelVault(str(tiny_file)).test_labels()
    for k, v, seed in ((1, 0, 0), (10, 5, 41)):
        draw_labels(tiny, k, v, seed)
        np.testing.assert_array_equal(LabelVault(str(tiny_file)).test_labels(), first)


def test_a_pair_whose_files_changed_is_not_scored(tiny: DomainPair, tiny_file: Path) -> None:
    path = tiny_file.parent / "target_labels.npy"
    labels = np.load(path)
    labels.flat[np.flatnonzero(labels)[0]] = 0
    np.save(path, labels)
    with pytest.raises(
        UserError, match=f"its files have changed since it was trained on .fingerprint {tiny.fingerprint} then"
    ):
        LabelVault(str(tiny_file)).test_labels(tiny.fingerprint)


def test_of_what_trains_only_the_draw_reads_the_development_pool() -> None:
    """With `split: authors` the pool holds what is test in a run, so nothing but its draw may reach the run."""
    package = Path(agsgtl.__file__).parent
    reading = {path.name for path in package.rglob("*.py") if ".development_labels" in path.read_text()}
    of_no_training = {"pairing.py", "mapped.py", "vault.py", "doctor.py", "picture.py"}
    assert reading == {"labels.py", *of_no_training}


def test_only_the_vault_and_pairing_can_name_the_test_pool() -> None:
    package = Path(agsgtl.__file__).parent
    naming = {
        path.name
        for path in package.rglob("*.py")
        if any(
            word in path.read_text()
            for word in ("assemble(", "pairing.assemble", "split_pools", "import Pools", "Pools,")
        )
    }
    assert naming == {"vault.py", "pairing.py", "pools.py"}
