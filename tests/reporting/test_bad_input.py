"""Records that are old, partial, mixed, damaged or few: each gives a right table or a clear message, in every view."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from synthetic import PAIR, write_confirm, write_search

from agsgtl.errors import UserError
from agsgtl.reporting.export import render
from agsgtl.reporting.table import build_table
from agsgtl.reporting.views import NAMES, build_view

OTHER = "toy/b_to_a"
VIEWS = [view for view in NAMES if view != "ablation"]


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes a JSON document in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def records(folder: Path, name: str = "record.json") -> list[Path]:
    """The documents of a ledger."""
    return sorted(folder.rglob(name))


def two_methods(folder: Path) -> Path:
    """Two methods on one pair with two seeds."""
    write_confirm(folder, "lda", {41: 0.5, 50: 0.6})
    write_confirm(folder, "agsgtl", {41: 0.7, 50: 0.8}, trials=3)
    return folder


def test_records_of_an_older_version_make_the_same_table(tmp_path: Path) -> None:
    new, old = two_methods(tmp_path / "new/demo"), two_methods(tmp_path / "old/demo")
    for path in records(old):
        edit(path, lambda record: [record.pop(key) for key in ("schema_version", "message", "best_score", "versions")])
        edit(path, lambda record: [record["config"].pop(name) for name in ("loss.entropy", "adapt.keep")])
    assert render(build_table([old], "macro_f1"), "csv") == render(build_table([new], "macro_f1"), "csv")


@pytest.mark.parametrize("field", ["identity", "status", "config_hash", "pair_fingerprint", "cost"])
def test_a_record_that_lacks_what_decides_is_named_with_the_field(tmp_path: Path, field: str) -> None:
    path = records(two_methods(tmp_path / "demo"))[0]
    edit(path, lambda record: record.pop(field))
    with pytest.raises(UserError, match=rf"record\.json: is no Record of this version: .*{field}"):
        build_table([tmp_path / "demo"])


def test_scores_without_a_metric_are_named_with_the_metric(tmp_path: Path) -> None:
    path = records(two_methods(tmp_path / "demo"), "scores.json")[0]
    edit(path, lambda scores: scores["scores"][0].pop("mean_iou"))
    with pytest.raises(UserError, match=r"scores\.json: is no ScoresFile of this version: .*mean_iou"):
        build_table([tmp_path / "demo"])


def test_percent_among_fractions_is_refused_by_name(tmp_path: Path) -> None:
    path = records(two_methods(tmp_path / "demo"), "scores.json")[0]
    edit(path, lambda scores: scores["scores"][0].update(macro_f1=71.0))
    with pytest.raises(UserError, match="macro_f1 must be a fraction, got 71"):
        build_table([tmp_path / "demo"])


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_test_score_that_is_no_number_is_refused_by_name(tmp_path: Path, value: str) -> None:
    path = records(two_methods(tmp_path / "demo"), "scores.json")[0]
    edit(path, lambda scores: scores["scores"][0].update(macro_f1=float(value)))
    with pytest.raises(UserError, match=r"scores\.json: macro_f1 must be a fraction, got (nan|inf)"):
        build_table([tmp_path / "demo"])


@pytest.mark.parametrize("view", VIEWS)
def test_a_nan_as_selection_score_is_a_gap_in_every_view(tmp_path: Path, view: str) -> None:
    path = records(two_methods(tmp_path / "demo") / "confirm/agsgtl")[0]
    edit(path, lambda record: (record.update(score=float("nan")), record["outcomes"][0].update(score=float("nan"))))
    write_search(tmp_path / "demo", "agsgtl", [0.5, 0.6])
    edit(tmp_path / "demo/agsgtl" / PAIR / "3/trials/0/record.json", lambda record: record.update(score=float("nan")))
    assert "nan" not in render(build_view([tmp_path / "demo"], view), "md").lower()


def test_a_hyperparameter_of_another_type_is_refused_by_name(tmp_path: Path) -> None:
    path = records(two_methods(tmp_path / "demo"))[0]
    edit(path, lambda record: record["config"].update({"loss.entropy": "small"}))
    with pytest.raises(UserError, match=r"demo: a record holds loss\.entropy = 'small', which is no float64"):
        build_table([tmp_path / "demo"])


def test_other_classes_in_one_row_leave_gaps_and_no_error(tmp_path: Path) -> None:
    two_methods(tmp_path / "demo")
    for path in records(tmp_path / "demo/confirm/lda", "scores.json"):
        edit(path, lambda scores: scores["scores"][0].update(class_names=["corn", "oats", "grass"]))
    lines = {line[0].text: line for line in build_view([tmp_path / "demo"], "classes").blocks[0].lines}
    assert [text.text for text in lines["grass"]][1:] == ["65.0 ± 7.1", "no scores (0 of 2)"]
    assert [text.text for text in lines["corn"]][1:] == ["45.0 ± 7.1", "65.0 ± 7.1"]


@pytest.mark.parametrize("view", VIEWS)
def test_one_seed_only_makes_every_view(tmp_path: Path, view: str) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5})
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.7}, trials=3)
    text = render(build_view([tmp_path / "demo"], view), "md")
    assert "nan" not in text.lower()


def test_one_seed_only_has_no_spread_and_the_note_says_so(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5})
    table = build_table([tmp_path / "demo"], "macro_f1")
    assert "| lda |  | 50.0 | 50.0 |" in render(table, "md")
    assert "a cell of n = 1 has no sd" in table.note[0]


@pytest.mark.parametrize("view", VIEWS)
def test_a_pair_that_one_method_never_saw_makes_every_view(tmp_path: Path, view: str) -> None:
    two_methods(tmp_path / "demo")
    write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: 0.5}, OTHER)
    text = render(build_view([tmp_path / "demo"], view), "md")
    assert "nan" not in text.lower()
    if view == "methods":
        assert "never planned, or no average because no seed has a number on every pair" in text


def test_a_search_whose_scores_are_missing_has_no_curse(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5})
    write_search(tmp_path / "demo", "agsgtl", [0.5])
    found = build_view([tmp_path / "demo"], "selection")
    assert found.blocks[0].lines == ()
    assert "No confirmed method was tuned" in found.lists[0].lines[-1]
    assert PAIR not in render(found, "md")
