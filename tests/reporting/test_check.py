"""A paper's numbers are held to the records, to the decimals that it prints."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from synthetic import PAIR, write_confirm, write_ledger, write_search

from agsgtl.errors import UserError
from agsgtl.reporting.check import check_paper
from agsgtl.reporting.export import render
from agsgtl.reporting.layout import lay_out
from agsgtl.reporting.table import build_table
from agsgtl.reporting.views import NAMES, build_view


@pytest.fixture(scope="session")
def folder(demo: Path) -> Path:
    return demo


@pytest.mark.parametrize(("format", "suffix"), [("latex", "tex"), ("md", "md")])
@pytest.mark.parametrize("view", ["methods", "classes"])
def test_our_own_tables_pass(folder: Path, tmp_path: Path, format: str, suffix: str, view: str) -> None:
    paper = tmp_path / f"paper.{suffix}"
    paper.write_text(render(build_view([folder], view), format))
    found = check_paper([folder], paper)
    assert found.findings == ()
    assert found.compared >= 36
    assert found.loosely == 0


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two experiments with oracle rows, two k, two initialisations, an ablation, and a kappa below zero."""
    folder = write_ledger(tmp_path_factory.mktemp("mixed") / "one", trials=2)
    write_search(folder, "agsgtl", [0.5, 0.6], test=[[0.60, 0.62], [0.70, 0.74]])
    for pair in (PAIR, "toy/b_to_a"):
        write_confirm(folder, "lda", {41: 0.03, 50: 0.02, 61: 0.05}, pair)
        write_confirm(folder, "lda", {41: 0.04, 50: 0.01, 61: 0.05}, pair, init=1)
        write_confirm(folder, "agsgtl", {41: 0.8, 50: 0.9}, pair, per_class=5)
    other = folder.parent / "two"
    write_confirm(other, "agsgtl", {41: 0.6, 50: 0.65, 61: 0.7}, config={"attention.floor": 0.5})
    return [folder, other]


DECIDED = {"methods", "classes", "labels", "intervals", "with intervals", "kappa"}
"""Views of which cells are held to the records; the others hold differences and other statistics."""


@pytest.mark.parametrize(("format", "suffix"), [("latex", "tex"), ("md", "md")])
def test_none_of_our_own_views_has_a_wrong_number(mixed: list[Path], tmp_path: Path, format: str, suffix: str) -> None:
    importances = pd.DataFrame({"study": [f"agsgtl/{PAIR}/3"] * 2, "path": ["a", "b"], "importance": [0.7, 0.3]})
    views = {name: build_view(mixed, name, measure=lambda _: importances) for name in NAMES}
    views["with intervals"] = lay_out(build_table(mixed), intervals=True)
    views["kappa"] = build_view(mixed, "methods", "kappa")
    for name, view in views.items():
        paper = tmp_path / f"paper.{suffix}"
        paper.write_text(render(view, format))
        found = check_paper(mixed, paper)
        assert (name, found.findings) == (name, ())
        assert found.compared > 0 or name not in DECIDED


@pytest.mark.parametrize(
    ("view", "right", "wrong"),
    [
        ("kappa", "| -0.7 ±", "| 0.7 ±"),  # lda on the first pair: .033 - .04
        ("with intervals", "[68.5, 73.5]", "[68.5, 74.5]"),
        ("with intervals", "| oracle | 72.0 ±", "| oracle | 73.0 ±"),
        ("intervals", "| 61.0 | 1.0 | 3 |", "| 71.0 | 1.0 | 3 |"),
        ("intervals", "| 61.0 | 1.0 | 3 |", "| 61.0 | 2.0 | 3 |"),
        ("labels", "| 85.0 ± 7.1 |", "| 86.0 ± 7.1 |"),
    ],
)
def test_a_wrong_sign_interval_oracle_or_line_in_long_form_is_found(
    mixed: list[Path], tmp_path: Path, view: str, right: str, wrong: str
) -> None:
    folders = mixed[:1]
    documents = {"with intervals": lay_out(build_table(folders, "macro_f1"), intervals=True)}
    documents["kappa"] = build_view(folders, "methods", "kappa")
    text = render(documents.get(view) or build_view(folders, view), "md")
    assert right in text
    paper = tmp_path / "paper.md"
    paper.write_text(text.replace(right, wrong, 1))
    assert len(check_paper(folders, paper).findings) == 1


@pytest.mark.parametrize(("format", "suffix"), [("latex", "tex"), ("md", "md")])
def test_a_changed_number_is_found_with_its_place_and_the_truth(
    folder: Path, tmp_path: Path, format: str, suffix: str
) -> None:
    paper = tmp_path / f"paper.{suffix}"
    text = render(build_table([folder], "macro_f1"), format)
    changed = text.replace("81.0", "83.0", 1)
    paper.write_text(changed)
    (finding,) = check_paper([folder], paper).findings
    assert "the records say 81.0 ± 1.0 for agsgtl, toy/b_to_a, Macro F1" in str(finding)
    assert "83.0" in changed.splitlines()[finding.line - 1]


def test_a_table_of_classes_is_held_to_its_pair_class_and_method(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    lines = "| class | fine_tune | AGSGTL |\n|---|---|---|\n| corn | 51.0 | 71.0 |\n| Macro F1 | 71.0 | 71.0 |\n"
    paper.write_text(f"F1 of each class, toy/a_to_b\n\n{lines}")
    found = check_paper([folder], paper)
    assert (found.compared, found.loosely) == (4, 0)
    assert [(finding.line, finding.printed) for finding in found.findings] == [(5, "71.0"), (6, "71.0")]
    assert "61.0 ± 1.0 for agsgtl, toy/a_to_b, f1:corn" in str(found.findings[0])


def test_a_number_in_the_wrong_column_or_metric_is_found(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    paper.write_text("Macro F1\n\n| | toy/a_to_b | toy/b_to_a |\n|---|---|---|\n| AGSGTL | 81.0 | 81.0 |\n")
    found = check_paper([folder], paper)
    (finding,) = found.findings
    assert finding.line == 5
    assert found.compared == 2
    assert "71.0 ± 1.0 for agsgtl, toy/a_to_b" in finding.expected


def test_rows_of_others_and_differences_are_left_to_the_reader(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    rows = [
        "| AGSGTL | 71.0 (+10.0) | 81.0 |",
        "| CCGDA [12] | 64.9 | 70.2 |",
        "| fine_tune | +10.0 (8.0 to 12.0) | -3.1 to -1.2 |",
        "| fine_tune | -10.0 | 75.0 (-5.0 to 6.0) |",
    ]
    paper.write_text("\n".join(["Macro F1", "", "| | toy/a_to_b | toy/b_to_a |", "|---|---|---|", *rows]))
    found = check_paper([folder], paper)
    assert [(finding.line, finding.printed) for finding in found.findings] == [(8, "75.0")]
    assert (found.compared, found.undecided) == (3, 11)


@pytest.mark.parametrize("between", ["", "% ours\n", "\n", "\\midrule\n"])
def test_what_stands_between_the_rows_of_a_latex_table_does_not_end_it(
    folder: Path, tmp_path: Path, between: str
) -> None:
    paper = tmp_path / "paper.tex"
    lines = "Method & toy/a\\_to\\_b & toy/b\\_to\\_a \\\\\n" + between + "AGSGTL & 81.0 & 71.0 \\\\\n"
    paper.write_text("Macro F1\n\\begin{tabular}{lrr}\n" + lines + "\\end{tabular}\n")
    assert [finding.printed for finding in check_paper([folder], paper).findings] == ["81.0", "71.0"]


def test_a_column_of_another_k_is_not_held_to_the_k_there_is(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    header = "toy/a_to_b, Macro F1\n\n| method | k = 3 | k = 7 |\n|---|---|---|\n"
    paper.write_text(header + "| fine_tune | 61.0 | 61.0 |\n")
    found = check_paper([folder], paper)
    assert (found.findings, found.compared, found.undecided) == ((), 1, 1)


def test_a_plain_table_in_long_form_is_held_to_each_line(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    header = "Macro F1\n\n| method | pair | mean | sd |\n|---|---|---|---|\n"
    paper.write_text(header + "| agsgtl | toy/a_to_b | 71.0 | 1.0 |\n| agsgtl | toy/a_to_b | 81.0 | 2.0 |\n")
    found = check_paper([folder], paper)
    assert [(finding.line, finding.printed) for finding in found.findings] == [(6, "81.0"), (6, "2.0")]


def test_a_sentence_about_the_average_moves_no_table(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    text = "Macro F1 of each class, toy/a_to_b\n\nThe note on the average: see below.\n\n"
    paper.write_text(text + "| class | fine_tune | AGSGTL |\n|---|---|---|\n| Macro F1 | 61.0 | 71.0 |\n")
    assert check_paper([folder], paper).findings == ()


def test_prose_is_checked_where_a_number_reads_as_a_result(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.tex"
    paper.write_text(
        "We reach $71.0 \\pm 1.0$ and 71.0\\% of macro F1, not $72.3 \\pm 1.0$ or 99.9\\%. % 12.3% is a comment\n"
        "Torch 2.13.0, section 3.2 and a rate of 0.001 are no results.\n"
    )
    found = check_paper([folder], paper)
    assert [finding.printed for finding in found.findings] == ["72.3 ± 1.0", "99.9%"]
    assert found.compared == found.loosely == 4


@pytest.mark.parametrize(
    ("sentence", "wrong", "compared", "undecided"),
    [
        ("On toy/a_to_b, AGSGTL reaches 71.0 and fine-tune 61.0 of macro F1.", [], 2, 0),
        ("On toy/a_to_b, AGSGTL reaches 81.0.", ["81.0"], 1, 0),
        ("AGSGTL reaches 81.0 % on b to a, 76.0 % on average.", [], 2, 0),
        ("AGSGTL reaches 72 % on a_to_b.", ["72 %"], 1, 0),
        ("AGSGTL gains 10.0 points over fine_tune on a_to_b [10.0, 10.0], p = 0.25 at k = 3.", [], 0, 3),
        ("AGSGTL reaches 71.0.", [], 0, 1),
        ("AGSGTL reaches 71.0 on a_to_b (68.5 to 73.5).", [], 1, 2),
        ("AGSGTL reaches 71.0%-81.0% on a_to_b and b_to_a.", [], 2, 0),
        ("AGSGTL on toy/a_to_b changed by −3.1 there.", [], 0, 1),
        ("AGSGTL reaches 0.710 of macro F1 on a_to_b.", [], 0, 1),
        ("This paper trains on 50 % of toy/a_to_b and 200 epochs.", [], 0, 1),
    ],
)
def test_a_sentence_is_held_to_what_it_names(
    folder: Path, tmp_path: Path, sentence: str, wrong: list[str], compared: int, undecided: int
) -> None:
    paper = tmp_path / "paper.md"
    paper.write_text(f"# Results\n\n{sentence}\n")
    found = check_paper([folder], paper)
    assert [finding.printed for finding in found.findings] == wrong
    assert (found.compared, found.undecided) == (compared, undecided)
    assert ("could not be decided" in str(found)) == bool(undecided)


def test_a_sentence_over_two_lines_is_one_and_the_line_is_the_numbers(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.tex"
    paper.write_text("On toy/a\\_to\\_b the attention helps: \\textbf{AGSGTL}\nreaches 79.0\\% of macro F1.\n")
    (finding,) = check_paper([folder], paper).findings
    assert finding.line == 2
    assert str(finding).endswith("the records say 71.0 ± 1.0 for agsgtl, toy/a_to_b, Macro F1")


def test_rounder_numbers_are_held_to_their_own_decimals(folder: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    paper.write_text("| m | toy/a_to_b | toy/b_to_a |\n|---|---|---|\n| agsgtl | 71.00 ± 1.00 | 81.01 |\n")
    findings = check_paper([folder], paper).findings
    assert [finding.printed for finding in findings] == ["81.01"]


def test_other_files_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reads \.tex and \.md"):
        check_paper([folder], tmp_path / "paper.docx")
    with pytest.raises(UserError, match="cannot be read"):
        check_paper([folder], tmp_path / "nothing.tex")


CELLS = ("85.0 ± 7.1", "85.0 (7.1)", "85", ".850", r"$85.0_{\pm 7.1}$", r"85.0{\scriptsize$\pm$7.1}", r"\textbf{85.0}")
"""One result, .85 with an sd of .0707, as papers print it."""


@pytest.mark.parametrize("cell", CELLS)
def test_a_result_is_known_however_a_paper_prints_it(tmp_path: Path, cell: str) -> None:
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.8, 50: 0.9})
    paper = tmp_path / "paper.tex"
    wrong = cell.replace("85", "86")
    for text, findings in ((cell, 0), (wrong, 1)):
        paper.write_text(f"Macro F1\n\nmethod & {PAIR} & average \\\\\nagsgtl & {text} & – \\\\\n")
        found = check_paper([tmp_path / "demo"], paper)
        assert (len(found.findings), found.compared, found.undecided) == (findings, 1, 0)


def test_whole_numbers_of_rows_that_are_no_metric_are_left_to_the_reader(tmp_path: Path) -> None:
    write_confirm(tmp_path / "demo", "agsgtl", {41: 0.8, 50: 0.9})
    write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: 0.6})
    paper = tmp_path / "paper.md"
    paper.write_text(
        f"Macro F1, {PAIR}\n\n| | lda | agsgtl |\n|---|---|---|\n| Epochs | 0 | 40 |\n| Macro F1 | 55 | 85 |\n"
    )
    found = check_paper([tmp_path / "demo"], paper)
    assert (found.findings, found.compared, found.undecided) == ((), 2, 2)
