"""A paper's numbers are held to the records, to the decimals that it prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import write_ledger

from agsgtl.errors import UserError
from agsgtl.reporting.check import check_paper
from agsgtl.reporting.export import render
from agsgtl.reporting.table import build_table
from agsgtl.reporting.views import build_view


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_ledger(tmp_path / "demo")


@pytest.mark.parametrize(("format", "suffix"), [("latex", "tex"), ("md", "md")])
@pytest.mark.parametrize("view", ["methods", "classes"])
def test_our_own_tables_pass(folder: Path, tmp_path: Path, format: str, suffix: str, view: str) -> None:
    paper = tmp_path / f"paper.{suffix}"
    paper.write_text(render(build_view([folder], view), format))
    findings, compared = check_paper([folder], paper)
    assert findings == []
    assert compared >= 36


@pytest.mark.parametrize(("format", "suffix"), [("latex", "tex"), ("md", "md")])
def test_a_changed_number_is_found_with_its_place_and_the_truth(
    folder: Path, tmp_path: Path, format: str, suffix: str
) -> None:
    paper = tmp_path / f"paper.{suffix}"
    text = render(build_table([folder], "macro_f1"), format)
    changed = text.replace("81.0", "83.0", 1)
    paper.write_text(changed)
    (finding,), _ = check_paper([folder], paper)
    assert "the records say 81.0 ± 1.0 for agsgtl, toy/b_to_a, Macro F1" in str(finding)
    assert "83.0" in changed.splitlines()[finding.line - 1]


def test_a_number_in_the_wrong_column_or_metric_is_found(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    paper.write_text("Macro F1\n\n| | toy/a_to_b | toy/b_to_a |\n|---|---|---|\n| AGSGTL | 81.0 | 81.0 |\n")
    (finding,), compared = check_paper([folder], paper)
    assert finding.line == 5
    assert compared == 2
    assert "71.0 ± 1.0 for agsgtl, toy/a_to_b" in finding.expected


def test_prose_is_checked_where_a_number_reads_as_a_result(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.tex"
    paper.write_text(
        "We reach $71.0 \\pm 1.0$ and 71.0\\% of macro F1, not $72.3 \\pm 1.0$ or 99.9\\%. % 12.3% is a comment\n"
        "Torch 2.13.0, section 3.2 and a rate of 0.001 are no results.\n"
    )
    findings, compared = check_paper([folder], paper)
    assert [finding.printed for finding in findings] == ["72.3 ± 1.0", "99.9%"]
    assert compared == 4


def test_rounder_numbers_are_held_to_their_own_decimals(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    paper.write_text("| m | toy/a_to_b | toy/b_to_a |\n|---|---|---|\n| agsgtl | 71.00 ± 1.00 | 81.01 |\n")
    findings, _ = check_paper([folder], paper)
    assert [finding.printed for finding in findings] == ["81.01"]


def test_other_files_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reads \.tex and \.md"):
        check_paper([folder], tmp_path / "paper.docx")
    with pytest.raises(UserError, match="cannot be read"):
        check_paper([folder], tmp_path / "nothing.tex")
