"""The tidy frame holds every (record, seed) once, from any number of folders, and refuses what contradicts itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from synthetic import PAIR, write_confirm, write_ledger, write_search

from agsgtl.errors import UserError
from agsgtl.reporting import tidy
from agsgtl.reporting.tidy import collect


def test_every_seed_outcome_is_a_row_with_its_columns(tmp_path: Path) -> None:
    write_search(
        tmp_path / "demo",
        "agsgtl",
        [0.5, 0.6],
        test=[[0.1, 0.2], [0.3, 0.4]],
        config=lambda n: {"loss.entropy": 0.1 * n},
    )
    frame = collect([tmp_path / "demo"])
    assert frame["number"].tolist() == [0, 0, 1, 1]
    assert frame["label_seed"].tolist() == [0, 1, 0, 1]
    assert frame["macro_f1"].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert frame["loss.entropy"].tolist() == [0.0, 0.0, 0.1, 0.1]
    assert frame["f1:oats"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert frame["f1:corn"].tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3])
    first = frame.iloc[0]
    assert (first["kind"], first["pair"], first["per_class"], first["validation_per_class"]) == ("search", PAIR, 3, 5)
    assert (first["epoch"], first["epochs"], first["score"], first["version:torch"]) == (8, 10, 0.5, "2.13.0")
    assert first["record"] == f"agsgtl/{PAIR}/3/trials/0"


def test_a_confirmation_says_where_its_configuration_came_from(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5}, trials=30)
    row = collect([tmp_path / "demo"]).iloc[0]
    assert (row["origin_study"], row["origin_trials"], row["origin_trial"], row["origin_score"]) == (
        f"agsgtl/{PAIR}/3",
        30,
        0,
        0.9,
    )


def test_a_failed_record_is_a_row_with_its_reason(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: "out_of_memory"})
    row = collect([tmp_path / "demo"]).iloc[0]
    assert (row["status"], row["reason"]) == ("failed", "out_of_memory")


def test_searches_that_nobody_scored_can_be_left_out(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "demo", trials=3)
    assert set(collect([folder], unscored_search=False)["kind"]) == {"confirm"}
    write_search(folder, "agsgtl", [0.5], test=[[0.1, 0.2]])
    found = collect([folder], unscored_search=False)
    assert found["kind"].value_counts().to_dict() == {"confirm": 18, "search": 6}
    assert set(found.loc[found["kind"] == "search", "method"]) == {"agsgtl"}  # with what nobody scored of that study


def test_copies_of_one_folder_count_once_and_scores_win(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: None})
    shutil.copytree(tmp_path / "demo", tmp_path / "backup")
    (tmp_path / "backup/confirm/lda" / PAIR / "3/41/scores.json").unlink()
    for order in (["demo", "backup"], ["backup", "demo"]):
        frame = collect([tmp_path / name for name in order])
        assert len(frame) == 2
        assert frame["macro_f1"].tolist()[0] == 0.5


def test_one_identity_with_two_configs_names_both_folders(tmp_path: Path) -> None:
    write_confirm(tmp_path / "a", "lda", {41: 0.5}, experiment="same")
    write_confirm(tmp_path / "b", "lda", {41: 0.5}, experiment="same", config={"adapt.epochs": 7})
    with pytest.raises(UserError, match=r"/a and .*/b: hold the same run"):
        collect([tmp_path / "a", tmp_path / "b"])


def test_a_damaged_record_and_a_newer_one_are_named(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5})
    path = tmp_path / "demo/confirm/lda" / PAIR / "3/41/record.json"
    good = json.loads(path.read_text())
    path.write_text(json.dumps({**good, "schema_version": 99}))
    with pytest.raises(UserError, match="newer agsgtl"):
        collect([tmp_path / "demo"])
    path.write_text("{")
    with pytest.raises(UserError, match=r"record\.json: is no Record"):
        collect([tmp_path / "demo"])


def test_a_metric_that_is_no_number_is_refused_by_name(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5})
    path = tmp_path / "demo/confirm/lda" / PAIR / "3/41/scores.json"
    path.write_text(path.read_text().replace('"macro_f1": 0.5', '"macro_f1": NaN'))
    with pytest.raises(UserError, match="macro_f1 must be a fraction, got nan"):
        collect([tmp_path / "demo"])


def test_a_record_of_an_older_config_lacks_only_the_newer_columns(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5})
    path = tmp_path / "demo/confirm/lda" / PAIR / "3/41/record.json"
    old = json.loads(path.read_text())
    del old["config"]["loss.entropy"]
    path.write_text(json.dumps({**old, "config": {**old["config"], "loss.gone": 1.5}}))
    frame = collect([tmp_path / "demo"])
    assert frame["loss.entropy"].isna().all()
    assert frame["loss.gone"].tolist() == [1.5]
    assert frame["macro_f1"].tolist() == [0.5]


def test_records_read_in_parts_are_the_same_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_ledger(tmp_path / "demo", trials=3)
    write_confirm(folder, "lda", {41: "diverged"})
    whole = collect([folder])
    monkeypatch.setattr(tidy, "_CHUNK", 7)
    pd.testing.assert_frame_equal(collect([folder]), whole)
