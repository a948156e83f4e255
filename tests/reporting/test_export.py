"""Text of tables: percent with one decimal, gaps in words, the same bytes for the same records."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from synthetic import PAIR, write_confirm, write_experiment, write_ledger

from agsgtl.errors import UserError
from agsgtl.reporting.cells import Cell
from agsgtl.reporting.export import render
from agsgtl.reporting.layout import cell_text
from agsgtl.reporting.table import build_table
from agsgtl.reporting.views import NAMES, build_view

FORMATS = ("csv", "md", "latex", "html")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell({41: 0.70, 50: 0.71, 61: 0.75}, 3, {}, 3), "72.0 ± 2.6"),
        (Cell({41: 0.7125}, 1, {}, 1), "71.2"),
        (Cell({41: 0.70, 50: 0.72}, 3, {}, 2), "71.0 ± 1.4 (2 of 3)"),
        (Cell({41: 0.70, 50: 0.72}, 3, {"diverged": 1}, 3), "71.0 ± 1.4 (2 of 3; failed: 1 diverged)"),
        (Cell({}, 3, {"diverged": 2, "out_of_memory": 1}, 3), "failed: 2 diverged, 1 out_of_memory of 3"),
        (Cell({}, 1, {"diverged": 1}, 1), "failed: diverged"),
        (Cell({}, 3, {}, 2), "no scores (0 of 3)"),
        (Cell({}, 3, {}, 0), "not run"),
        (Cell({}, 0, {}, 0), "–"),
    ],
)
def test_a_cell_says_what_it_is(cell: Cell, text: str) -> None:
    assert cell_text(cell) == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell({41: 0.70, 50: 0.71, 61: 0.75}, 3, {}, 3), "72.0 ± 2.6 [65.4, 78.6]"),  # 72 ± 4.303 x 2.646 / sqrt(3)
        (Cell({41: 0.70, 50: 0.72}, 3, {}, 2), "71.0 ± 1.4 [58.3, 83.7] (2 of 3)"),  # 71 ± 12.706 x 1.414 / sqrt(2)
        (Cell({41: 0.7125}, 1, {}, 1), "71.2"),
    ],
)
def test_a_cell_with_its_interval_is_mean_sd_and_t_interval(cell: Cell, text: str) -> None:
    assert cell_text(cell, intervals=True) == text


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = build_table([write_ledger(tmp_path / "x/demo")]), build_table([write_ledger(tmp_path / "y/demo")])
    write_confirm(tmp_path / "more", "lda", {41: 0.5})
    folders = [tmp_path / "x/demo", tmp_path / "more"]
    forth, back = build_table(folders), build_table(folders[::-1])
    for format in FORMATS:
        assert render(one, format) == render(two, format)
        assert render(forth, format) == render(back, format)
        assert str(tmp_path) not in render(one, format)


def test_csv_reads_back_with_metrics_as_blocks(demo: Path) -> None:
    lines = list(csv.reader(io.StringIO(render(build_table([demo]), "csv"))))
    assert lines[0] == ["metric", "method", "tuned", PAIR, "toy/b_to_a", "average"]
    assert lines[1] == ["macro_f1", "source_only", "", "41.0 ± 1.0 †", "51.0 ± 1.0 †", "46.0 ± 1.0 †"]
    assert ["mean_iou", "agsgtl", "10 trials", "69.0 ± 1.0", "79.0 ± 1.0", "74.0 ± 1.0"] in lines
    assert {len(line) for line in lines} == {6}


def test_markdown_has_a_section_a_metric(demo: Path) -> None:
    text = render(build_table([demo]), "md")
    assert "### Macro F1 (%)" in text
    assert "### Overall accuracy (%)" in text
    assert "| <u>61.0 ± 1.0</u> † |" in text
    assert "average: agsgtl − fine_tune = 10.0 [10.0, 10.0], p = .25, Holm p = 1, n = 3" in text
    assert "| agsgtl | 10 trials | **71.0 ± 1.0** | **81.0 ± 1.0** | **76.0 ± 1.0** |" in text


def test_latex_escapes_names_and_uses_booktabs(demo: Path) -> None:
    text = render(build_table([demo]), "latex")
    assert r"source\_only &  & 41.0 $\pm$ 1.0" in text
    assert r"\toprule" in text
    assert "toy/a_to_b" not in text


@pytest.mark.parametrize("view", [view for view in NAMES if view != "ablation"])
def test_latex_compiles_as_it_is(tmp_path: Path, view: str) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here: apt-get install texlive-latex-recommended")
    folder = write_ledger(tmp_path / "demo")
    write_confirm(folder, "a_b & 100% #1 {x} ~^\\", {41: 0.5, 50: "out_of_memory"})
    (tmp_path / "table.tex").write_text(render(build_view([folder], view), "latex"))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_html_colours_states_apart_and_escapes(tmp_path: Path) -> None:
    planned = [{"method": m, "pair": PAIR, "per_class": 3, "seed": 41} for m in ("lda", "paper", "<b>")]
    write_experiment(tmp_path / "demo", confirm_cells=planned)
    write_confirm(tmp_path / "demo", "lda", {41: "diverged"})
    text = render(build_table([tmp_path / "demo"], "macro_f1"), "html")
    assert "#f8d7da" in text
    assert "#e2e3e5" in text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text


def test_ids_of_html_hold_no_slash(demo: Path) -> None:
    html = render(build_view([demo], "classes"), "html")
    assert not [name for name in re.findall(r'id="([^"]*)"', html) if not re.fullmatch(r"\w+", name)]


def test_an_unknown_format_is_named(demo: Path) -> None:
    with pytest.raises(UserError, match="--format markdown"):
        render(build_table([demo]), "markdown")
