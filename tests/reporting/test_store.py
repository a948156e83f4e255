"""The stored frame equals the one read anew, whatever happened to the records in between."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from synthetic import PAIR, write_confirm, write_ledger

from agsgtl.config import ADDED_LATER
from agsgtl.reporting import store
from agsgtl.reporting.store import store_path, stored_frame, write_frame
from agsgtl.reporting.tidy import collect


def assert_equal(one: pd.DataFrame, two: pd.DataFrame) -> None:
    """The same rows and columns with the same types."""
    pd.testing.assert_frame_equal(one[sorted(one.columns)], two[sorted(two.columns)])


def test_the_stored_frame_is_the_frame(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "demo", trials=3)
    for _ in range(2):
        assert_equal(stored_frame([folder]), collect([folder]))
    assert store_path(folder).exists()


def test_new_changed_and_removed_records_are_seen(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "demo", trials=3)
    stored_frame([folder])
    write_confirm(folder, "lda", {41: 0.123})
    write_confirm(folder, "source_only", {41: 0.9999})
    (folder / "confirm/source_only" / PAIR / "3/50/record.json").unlink()
    assert_equal(stored_frame([folder]), collect([folder]))
    assert {0.123, 0.9999} <= set(stored_frame([folder])["macro_f1"])


def test_removed_records_alone_are_seen(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "demo", trials=3)
    stored_frame([folder])
    shutil.rmtree(folder / "confirm/source_only")
    expected = collect([folder])
    assert "source_only" not in set(expected["method"])
    for _ in range(2):
        assert_equal(stored_frame([folder]), expected)


def test_unchanged_records_are_not_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_ledger(tmp_path / "demo", trials=3)
    stored_frame([folder])
    read: list[Path] = []
    monkeypatch.setattr(store, "read_trials", lambda paths, results: read.extend(paths) or collect([]))
    stored_frame([folder])
    assert read == []


def test_a_damaged_store_is_made_again(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "demo", trials=3)
    stored_frame([folder])
    store_path(folder).write_bytes(b"torn")
    assert_equal(stored_frame([folder]), collect([folder]))


def test_a_store_from_before_a_hyperparameter_was_known_is_made_again(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "demo")
    expected = stored_frame([folder])
    for path, value in ADDED_LATER.items():
        pd.read_parquet(store_path(folder)).drop(columns=path).to_parquet(store_path(folder), index=False)
        found = stored_frame([folder])
        assert_equal(found, expected)
        assert set(found[path]) == {value}


def test_several_folders_become_one_file(tmp_path: Path) -> None:
    folders = [write_ledger(tmp_path / "one", trials=2), write_ledger(tmp_path / "two", trials=2)]
    merged = pd.read_parquet(write_frame(folders, tmp_path / "all.parquet"))
    assert merged["experiment"].value_counts().to_dict() == {"one": 34, "two": 34}
    assert list(merged.columns) == list(collect(folders).columns)
