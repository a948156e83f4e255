"""Per-class tables, tables by labelled count and ablations, against values made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import PAIR, write_confirm, write_ledger

from agsgtl.errors import UserError
from agsgtl.reporting.layout import Block
from agsgtl.reporting.views import build_view


def texts(block: Block) -> dict[str, list[str]]:
    """The lines of a block by their first word."""
    return {line[0].text: [text.text for text in line[1:]] for line in block.lines}


def test_classes_stand_above_the_summary_in_the_remote_sensing_habit(tmp_path: Path) -> None:
    block = build_view([write_ledger(tmp_path / "demo")], "classes").blocks[0]
    assert block.header == ("class", "source_only", "fine_tune", "agsgtl")
    lines = texts(block)
    summary = ["Overall accuracy", "Balanced accuracy", "Macro F1", "Mean IoU", "Kappa"]
    assert list(lines) == ["corn", "oats", "woods", *summary]
    assert lines["corn"] == ["31.0 ± 1.0", "51.0 ± 1.0", "61.0 ± 1.0"]  # .1 below macro F1
    assert lines["Kappa"] == ["37.0 ± 1.0", "57.0 ± 1.0", "67.0 ± 1.0"]
    assert block.lines[0][3].marks == {"best"}
    assert block.lines[0][2].marks == {"second"}


def test_labelled_counts_are_columns(tmp_path: Path) -> None:
    for k in (1, 5):
        write_confirm(tmp_path / "demo", "agsgtl", {41: 0.5 + k / 100}, per_class=k)
    write_confirm(tmp_path / "demo", "lda", {41: 0.3}, per_class=5)
    block = build_view([tmp_path / "demo"], "labels").blocks[0]
    assert block.header == ("method", "k = 1", "k = 5")
    assert texts(block) == {"agsgtl": ["51.0", "55.0"], "lda": ["–", "30.0"]}


def test_an_ablation_names_what_differs_and_tests_it_paired(tmp_path: Path) -> None:
    write_confirm(tmp_path / "whole", "agsgtl", {41: 0.50, 50: 0.60})
    write_confirm(tmp_path / "no_attention", "agsgtl", {41: 0.45, 50: 0.53}, config={"attention.discriminator": False})
    found = build_view([tmp_path / "whole", tmp_path / "no_attention"], "ablation", reference="whole")
    lines = texts(found.blocks[0])
    assert lines["agsgtl"][:2] == ["whole: reference", "55.0 ± 7.1"]
    changed = "no_attention: attention.discriminator: true → false"
    assert lines["agsgtl, attention off"][:2] == [changed, "49.0 ± 5.7"]
    (sentence,) = found.lists[0].lines
    assert sentence.startswith(f"{PAIR}: agsgtl − agsgtl, attention off = 6.0 [-6.7, 18.7]")
    assert "p = .5" in sentence


def test_an_ablation_needs_two_settings_and_a_known_reference(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "demo")
    with pytest.raises(UserError, match="needs two experiments"):
        build_view([folder], "ablation")
    write_confirm(tmp_path / "other", "agsgtl", {41: 0.1}, config={"adapt.epochs": 7})
    with pytest.raises(UserError, match="did you mean 'other'"):
        build_view([folder, tmp_path / "other"], "ablation", reference="othr")
    with pytest.raises(UserError, match="did you mean 'classes'"):
        build_view([folder], "class")
