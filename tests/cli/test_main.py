"""What the command promises a shell: exit codes, and mistakes in one line on stderr."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from synthetic import write_ledger

from agsgtl.cli import main
from agsgtl.config import Config
from agsgtl.data.pairing import DomainPair
from agsgtl.reporting.record import Reason, Record
from agsgtl.reporting.statviews import NO_IMPORTANCES
from agsgtl.trial import Place, Setup, failed_record, make_ask


def end_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of the command with these arguments, in this process."""
    monkeypatch.setattr("sys.argv", ["agsgtl", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("main") / "demo")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tabel"], "No such command 'tabel'"),
        (["run"], "Missing argument 'pair'"),
        (["run", "PAIR", "--methods", "lda"], "No such option: --methods"),
        (["run", "PAIR", "--seed", "first"], "Invalid value for '--seed'"),
        (["run", "PAIR", "--seed", "-1"], "Invalid value for '--seed'"),
        (["dashboard", "RESULTS", "--port", "0"], "Invalid value for '--port'"),
        (["run", "PAIR", "--method", "ldaa"], "--method: 'ldaa' is no method; did you mean 'lda'"),
        (["run", "PAIR", "--select", "best"], "--select best: is no selection rule"),
        (["run", "indian_pines/west"], "'indian_pines/west' is no pair of the catalog"),
        (["sweep", "nowhere.yaml"], "nowhere.yaml: "),
        (
            ["sweep", "nowhere.yaml", "--dry-run", "--yes"],
            "--dry-run: does nothing with --yes, since it starts nothing",
        ),
        (
            ["sweep", "X", "--dry-run", "--address", "a:1", "--take-over"],
            "--dry-run: does nothing with --address, --take-over",
        ),
        (["table", "nowhere"], "nowhere: there is no such folder of results"),
        (["table", "nowhere", "--format", "pdf"], "--format pdf: is no format of the table"),
        (["status", "nowhere"], "nowhere"),
        (["evaluate", "nowhere"], "evaluate: say what to score"),
        (["data", "check", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = end_of(monkeypatch, *arguments)
    out, error = capsys.readouterr()
    assert (code, out) == (1, "")
    assert error.startswith(f"agsgtl: {said}")
    assert error.count("\n") == 1


def test_no_command_is_the_help_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(monkeypatch) == 1
    out, error = capsys.readouterr()
    assert "sweep" in out
    assert error == "agsgtl: which command?; see `agsgtl --help`\n"


@pytest.mark.parametrize(
    ("reason", "code", "said"),
    [
        ("error", 2, "failed: error: made up"),
        ("out_of_memory", 2, "failed: out_of_memory: made up"),
        ("diverged", 0, "failed: diverged: made up"),
        ("bad_input", 1, "failed: bad_input: made up"),
        ("interrupted", 130, "interrupted; `--out "),
    ],
)
def test_how_a_trial_ended_is_the_exit_code_of_run(
    reason: Reason,
    code: int,
    said: str,
    tiny_pair_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def end_so(config: Config, pair: DomainPair, setup: Setup, place: Place) -> Record:
        return failed_record(make_ask({}, pair, setup), reason, "made up")

    monkeypatch.setattr("agsgtl.trial.run_trial", end_so)
    assert end_of(monkeypatch, "run", str(tiny_pair_file), "--out", str(tmp_path / "out")) == code
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(said)


def test_ctrl_c_before_a_trial_can_answer_is_one_line(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agsgtl.reporting.status.render_status", press)
    assert end_of(monkeypatch, "status", str(results)) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("/dev/full", "agsgtl: No space left on device; make room or name another place, and call again\n"),
        ("a reader that has gone", ""),
    ],
)
def test_output_that_nobody_can_take_is_no_traceback(results: Path, output: str, said: str) -> None:
    if output == "/dev/full":
        place = os.open(output, os.O_WRONLY)
    else:
        reader, place = os.pipe()
        os.close(reader)
    command = [sys.executable, "-m", "agsgtl", "status", str(results)]
    ended = subprocess.run(command, stdout=place, stderr=subprocess.PIPE, text=True, check=False)
    os.close(place)
    assert (ended.returncode, ended.stderr) == (1, said)


def test_what_was_printed_before_a_disk_failed_is_kept(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        print("trial 1 done")
        raise PermissionError(errno.EACCES, "Permission denied", "/results/x")

    monkeypatch.setattr("agsgtl.reporting.status.render_status", fail)
    assert end_of(monkeypatch, "status", str(results)) == 1
    said = "agsgtl: /results/x: Permission denied; make room or name another place, and call again\n"
    assert capsys.readouterr() == ("trial 1 done\n", said)


def test_a_closed_output_is_no_error(results: Path) -> None:
    command = f"{sys.executable} -m agsgtl status {results} >&-"
    ended = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_error_of_the_system_that_no_user_can_mend_keeps_its_traceback(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug = FileNotFoundError(errno.ENOENT, "a bug of ours", "record.json")
    monkeypatch.setattr("agsgtl.reporting.status.render_status", mock.Mock(side_effect=bug))
    monkeypatch.setattr("sys.argv", ["agsgtl", "status", str(results)])
    with pytest.raises(FileNotFoundError):
        main()


def test_a_trial_that_ends_well_is_0_and_settings_that_its_method_does_not_read_are_named(
    tiny_pair_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("loss.adversarial=5", "labels.per_class=3", "adapt.epochs=3")
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    call = ["run", str(tiny_pair_file), "--method", "lda", *arguments, "--out", str(tmp_path / "out")]
    assert end_of(monkeypatch, *call) == 0
    out, error = capsys.readouterr()
    assert out.startswith("lda on tiny: target_validation ")
    named = [line for line in error.splitlines() if "does not read" in line]
    assert named == ["--set: lda does not read loss.adversarial, adapt.epochs, which changes nothing here"]
    assert json.loads((tmp_path / "out" / "record.json").read_text())["status"] == "complete"


@pytest.mark.parametrize(("printed", "code"), [("71.0", 0), ("73.0", 2)])
def test_a_paper_with_a_wrong_number_ends_check_with_2(
    results: Path,
    tmp_path: Path,
    printed: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paper = tmp_path / "paper.md"
    paper.write_text(f"Macro F1\n\n| | toy/a_to_b |\n|---|---|\n| AGSGTL | {printed} |\n")
    assert end_of(monkeypatch, "table", str(results), "--check", str(paper)) == code
    out, error = capsys.readouterr()
    assert out.startswith(f"line 5: {printed}: ") if code else out == ""
    assert error.startswith(f"{paper}: ")


@pytest.mark.parametrize("option", [["--view", "ranks"], ["--metric", "kappa"], ["--format", "csv"], ["--out", "x"]])
def test_a_check_takes_no_option_of_tables(
    results: Path, option: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(monkeypatch, "table", str(results), "--check", "paper.md", *option) == 1
    assert f"{option[0]}: --check prints no table" in capsys.readouterr().err


def test_intervals_reach_the_cells(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """sd of .70, .71, .72: .01; t of 2 degrees 4.303; half-width 4.303 x .01 / sqrt(3) = .0248."""
    assert end_of(monkeypatch, "table", str(results), "--metric", "macro_f1", "--intervals", "--format", "csv") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("macro_f1,agsgtl")]
    assert line.startswith('macro_f1,agsgtl,10 trials,"71.0 ± 1.0 [68.5, 73.5]","81.0 ± 1.0 [78.5, 83.5]"')


@pytest.mark.parametrize(
    ("view", "options"),
    [
        ("classes", ["--intervals"]),
        ("classes", ["--evaluator", "nonsense"]),
        ("classes", ["--reference", "nobody"]),
        ("classes", ["--metric", "kappa"]),
        ("methods", ["--reference", "agsgtl"]),
        ("selection", ["--metric", "kappa"]),
        ("importances", ["--metric", "kappa"]),
        ("cost", ["--metric", "kappa"]),
    ],
)
def test_an_option_that_a_view_does_not_take_is_refused(
    results: Path,
    view: str,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert end_of(monkeypatch, "table", str(results), "--view", view, *options) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(f"agsgtl: {options[0]}: --view {view} does not take it; leave it out, or choose of ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("view", "options", "shown"),
    [
        ("intervals", ["--metric", "kappa"], "Kappa"),
        ("comparisons", ["--reference", "fine_tune", "--metric", "mean_iou"], "fine_tune against the others"),
    ],
)
def test_an_option_that_a_view_takes_is_used(
    results: Path,
    view: str,
    options: list[str],
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert end_of(monkeypatch, "table", str(results), "--view", view, *options) == 0
    assert shown in capsys.readouterr().out


def test_the_evaluator_measures_the_importances(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = mock.Mock(return_value=NO_IMPORTANCES)
    monkeypatch.setattr("agsgtl.tuning.importances.measure_importances", measure)
    assert end_of(monkeypatch, "table", str(results), "--view", "importances", "--evaluator", "fanova") == 0
    assert measure.call_args.kwargs == {"evaluator": "fanova"}


def test_an_unknown_evaluator_is_named(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(monkeypatch, "table", str(results), "--view", "importances", "--evaluator", "fanove") == 1
    assert capsys.readouterr().err.startswith(
        "agsgtl: --evaluator fanove: measures no importance; did you mean 'fanova'"
    )


def test_an_unknown_view_is_named_before_its_options(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of(monkeypatch, "table", str(results), "--view", "class", "--intervals") == 1
    assert capsys.readouterr().err.startswith("agsgtl: --view class: is no view of the table; did you mean 'classes'")


def test_the_views_that_options_name_are_views() -> None:
    from agsgtl.cli.tables import TAKEN_BY, VIEWS
    from agsgtl.reporting.views import NAMES

    assert set(VIEWS) == set(NAMES)
    assert {view for views in TAKEN_BY.values() for view in views} <= set(NAMES)
