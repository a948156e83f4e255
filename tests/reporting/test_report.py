"""The report is one file that stands alone: it loads nothing, holds the tables and pictures, and a browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from synthetic import PAIR, write_confirm, write_ledger, write_search

from agsgtl.reporting import report
from agsgtl.reporting.report import write_report

IMPORTANCES = pd.DataFrame({"study": [f"agsgtl/{PAIR}/3"], "path": ["loss.entropy"], "importance": [1.0]})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = write_ledger(tmp_path_factory.mktemp("report") / "demo", trials=4)
    write_confirm(folder, "<script>alert(1)</script>", {41: 0.5})
    write_search(folder, "agsgtl", [0.5, 0.6], test=[[0.7, 0.72], [0.6, 0.62]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_MOST_OF_A_KIND", 2)
        yield write_report(folder, lambda _: IMPORTANCES)


def test_the_report_holds_tables_statistics_protocol_and_commands(page: Path) -> None:
    text = page.read_text()
    for expected in (
        "71.0 ± 1.0",
        "95 % t interval",
        "not separable",
        "Winner",
        "Regret of selection",
        "confirm_cells",
        "Hedges&#39; g",
        "Importance of hyperparameters, pooled (%)",
        "No importances of",
        "Only the first 2 pictures of a kind are shown",
    ):
        assert expected in text
    assert text.count("No importances of") == 1
    assert f"agsgtl run {PAIR} --method agsgtl --seed 41" in text
    assert "torch: 2.13.0" in text
    assert "10.0</td>" in text  # the regret: best on test .71, chosen .61


def test_the_report_of_imported_weights_says_how_to_import_them(tmp_path: Path) -> None:
    write_confirm(tmp_path / "authors", "authors", {41: 0.5, 50: 0.6})
    text = write_report(tmp_path / "authors").read_text()
    assert f"agsgtl import-weights FILE --pair {PAIR} --results {tmp_path / 'authors'}" in text
    assert "agsgtl run " not in text
    assert "agsgtl sweep EXPERIMENT" not in text


def test_the_report_loads_nothing_and_runs_nothing(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", text)
    assert "url(" not in text
    assert "@import" not in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in text


def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    shot = tmp_path / "page.png"
    flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/profile",
        "--window-size=1200,3000",
    ]
    run = [browser, *flags, f"--screenshot={shot}", "--dump-dom", page.as_uri()]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert shot.stat().st_size > 50_000
    assert "71.0 ± 1.0" in done.stdout
    assert done.stdout.count("<img") == page.read_text().count("<img")
