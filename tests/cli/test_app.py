from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from synthetic import write_confirm

from agsgtl.cli.app import app

COMMANDS = [
    *(name for name in typer.main.get_command(app).commands if name != "data"),
    *(f"data {name}" for name in typer.main.get_command(app).commands["data"].commands),
]


def imported(code: str) -> str:
    """What a process of its own has imported of the heavy packages after some code."""
    heavy = "{'torch', 'ray', 'optuna', 'matplotlib'}"
    script = f"{code}\nimport sys; print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr


def test_the_command_line_itself_loads_nothing_heavy() -> None:
    assert imported("import agsgtl.cli") == "[]\n"
    assert imported("import agsgtl.cli.maps") == "['torch']\n"  # the control


@pytest.mark.parametrize("command", ["status", "table"])
def test_status_and_table_need_no_torch(tmp_path: Path, command: str) -> None:
    write_confirm(tmp_path / "demo", "lda", {41: 0.5, 50: 0.6})
    (tmp_path / "demo" / "experiment.yaml").write_text("name: demo\nsearch: {trials: 3}\n")
    call = f"from agsgtl.cli.app import app; app(['{command}', {str(tmp_path / 'demo')!r}], standalone_mode=False)"
    assert imported(call) == "[]\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_takes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    app([*command.split(), "--help"], prog_name="agsgtl", standalone_mode=False)
    said = capsys.readouterr().out
    assert f"agsgtl {command}" in said
    assert "--help" in said


def test_the_commands_of_the_readme_are_there() -> None:
    assert {"sweep", "run", "status", "table", "explain", "evaluate", "data check"} <= set(COMMANDS)


def test_tiles_are_as_large_as_the_predictors_own() -> None:
    from inspect import signature

    from agsgtl.cli import mapcommands
    from agsgtl.evaluation.predict import TILE

    assert signature(mapcommands.predict).parameters["tile"].default == TILE


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agsgtl", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, tiny_pair_file: Path) -> None:
    (tmp_path / "file").touch()
    ended = call("run", str(tiny_pair_file), "--method", "lda", "--out", str(tmp_path / "file" / "out"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("agsgtl: ")
    assert "cannot be written: Not a directory" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_other_arguments_leave_an_interrupted_trial_as_it_is(tmp_path: Path, tiny_pair_file: Path) -> None:
    arguments = [
        str(tiny_pair_file),
        "--method",
        "target_only",
        "--set",
        "labels.per_class=3",
        "--set",
        "adapt.epochs=3",
    ]
    assert call("run", *arguments, "--out", str(tmp_path / "out")).returncode == 0
    for name in ("record.json", "class_map.npy"):
        (tmp_path / "out" / name).unlink()
    ended = call("run", *arguments, "--set", "loss.entropy=0.5", "--seed", "1", "--out", str(tmp_path / "out"))
    assert ended.returncode == 1
    assert "is the checkpoint of another trial; give the arguments that it was started with" in ended.stderr
    assert not (tmp_path / "out" / "record.json").exists()
    assert call("run", *arguments, "--out", str(tmp_path / "out")).returncode == 0
