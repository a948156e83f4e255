"""What a sweep survives, with real processes: kills, signals, damaged files, a full disk. Nothing waits but on the ledger."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeps import WAIT_S, folders, outcomes, run, start, wait_until, written

from agsgtl.errors import Interrupted
from agsgtl.reporting.ledger import Ledger

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

TRIALS = "*/tiny/*/trials/*/record.json"
CONFIRMED = "confirm/*/tiny/*/*/record.json"


def count(results: Path, pattern: str) -> int:
    return len(list((results / "tiny").glob(pattern)))


def require_kept(
    before: dict[Path, tuple[int, int]], results: Path, undisturbed: tuple[Path, Path, str], table: str
) -> None:
    """The promise: every finished trial kept as it was written, every outcome and the table as undisturbed."""
    now = written(results)
    assert {path: now.get(path) for path in before} == before
    assert outcomes(results) == outcomes(undisturbed[1])
    assert table == undisturbed[2]


@pytest.mark.parametrize("moment", ["before any record", "mid-way", "in confirm"])
def test_a_killed_driver_loses_and_repeats_nothing(
    undisturbed: tuple[Path, Path, str], tmp_path: Path, moment: str
) -> None:
    reached = {
        "before any record": lambda: count(tmp_path, "*/tiny/*/trials/*/attempts.jsonl") >= 1,
        "mid-way": lambda: count(tmp_path, TRIALS) >= 4,
        "in confirm": lambda: count(tmp_path, TRIALS) == 10 and count(tmp_path, CONFIRMED) >= 2,
    }
    driver = start(undisturbed[0], tmp_path)
    wait_until(reached[moment], driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    before = written(tmp_path)
    code, table, said = run(undisturbed[0], tmp_path)
    assert code == 0, said
    require_kept(before, tmp_path, undisturbed, table)


def test_the_check_itself_notices_a_lost_and_a_repeated_record(
    undisturbed: tuple[Path, Path, str], tmp_path: Path
) -> None:
    """The negative control: were records ignored on resume, the test above would fail."""
    shutil.copytree(undisturbed[1], tmp_path / "results")
    results = tmp_path / "results"
    before = written(results)
    victim = next(iter(before))
    content = victim.read_bytes()
    victim.unlink()
    with pytest.raises(AssertionError):
        require_kept(before, results, undisturbed, undisturbed[2])
    (results / "keeps the inode from being used again").touch()
    victim.write_bytes(content)
    with pytest.raises(AssertionError):
        require_kept(before, results, undisturbed, undisturbed[2])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_one_signal_saves_checkpoints_and_says_how_to_go_on(
    undisturbed: tuple[Path, Path, str], tmp_path: Path, number: int
) -> None:
    driver = start(undisturbed[0], tmp_path)
    wait_until(lambda: count(tmp_path, TRIALS) >= 2, driver)
    driver.send_signal(number)
    table, said = driver.communicate(timeout=WAIT_S)
    assert (driver.returncode, table) == (130, "")
    assert "stopping: running trials save their checkpoints" in said
    assert "the same command goes on from here" in said
    assert not list((tmp_path / "tiny").glob(".stop-*"))
    started = [folder for folder in folders(tmp_path) if folder.attempts()]
    assert all(folder.has_record() or (folder.checkpoint / "last.safetensors").exists() for folder in started)
    before = written(tmp_path)
    code, table, said = run(undisturbed[0], tmp_path)
    assert code == 0, said
    require_kept(before, tmp_path, undisturbed, table)


def test_two_signals_stop_at_once(undisturbed: tuple[Path, Path, str], tmp_path: Path) -> None:
    driver = start(undisturbed[0], tmp_path)
    wait_until(lambda: count(tmp_path, TRIALS) >= 1, driver)
    driver.send_signal(signal.SIGINT)
    wait_until(lambda: list((tmp_path / "tiny").glob(".stop-*")), driver)
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=WAIT_S)
    assert driver.returncode == 130
    assert "stopped at once; finished trials are kept" in said
    code, table, said = run(undisturbed[0], tmp_path)
    assert (code, table) == (0, undisturbed[2]), said


def test_a_killed_worker_is_replaced_and_its_trial_goes_on(undisturbed: tuple[Path, Path, str], tmp_path: Path) -> None:
    driver = start(undisturbed[0], tmp_path)
    victims: list[int] = []

    def shot() -> bool:
        for folder in folders(tmp_path):
            if folder.attempts() and not folder.has_record():
                victims.append(int(folder.attempts()[-1]["process"]))
                os.kill(victims[0], signal.SIGKILL)
                return True
        return False

    wait_until(lambda: count(tmp_path, TRIALS) >= 2, driver)
    wait_until(shot, driver)
    table, said = driver.communicate(timeout=WAIT_S)
    assert driver.returncode == 0, said
    require_kept({}, tmp_path, undisturbed, table)
    assert any(len(folder.attempts()) > 1 for folder in folders(tmp_path))  # else nobody was hit


@pytest.mark.parametrize("damage", [b"", b'{"schema_version": 1, "ident', b"\x00\xff not json"])
def test_damaged_files_are_set_aside_and_made_again(
    undisturbed: tuple[Path, Path, str], tmp_path: Path, damage: bytes
) -> None:
    results = tmp_path / "results"
    shutil.copytree(undisturbed[1], results)
    trial, confirmed = results / "tiny/agsgtl/tiny/3/trials", results / "tiny/confirm/agsgtl/tiny/3"
    damaged = [
        *(
            trial / "1/record.json",
            trial / "2/ask.json",
            trial / "3/record.json",
            trial / "3/checkpoint/last.safetensors",
        ),
        *(confirmed / "41/scores.json", confirmed / "50/ask.json", confirmed / "50/record.json"),
        next(results.rglob("model.safetensors")),
    ]
    for path in damaged:
        path.write_bytes(damage)
    with open(trial / "3/progress.jsonl", "ab") as progress:
        progress.write(b'{"epoch": 4, "sc')  # torn
    code, table, said = run(undisturbed[0], results)
    assert code == 0, said
    assert said.count("set aside as") >= 6
    assert f"{trial / '3/progress.jsonl'}: its last line is torn and is dropped" in said
    assert (trial / "1/record.json.damaged").read_bytes() == damage
    assert table == undisturbed[2]
    assert outcomes(results) == outcomes(undisturbed[1])


def test_a_second_driver_is_refused_and_the_first_goes_on(undisturbed: tuple[Path, Path, str], tmp_path: Path) -> None:
    driver = start(undisturbed[0], tmp_path)
    wait_until(lambda: count(tmp_path, "driver.lock"), driver)
    code, table, said = run(undisturbed[0], tmp_path)
    assert (code, table) == (1, "")
    assert f"process {driver.pid}" in said
    table, said = driver.communicate(timeout=WAIT_S)
    assert (driver.returncode, table) == (0, undisturbed[2])


def test_a_driver_that_was_taken_over_stops(undisturbed: tuple[Path, Path, str], tmp_path: Path) -> None:
    first = start(undisturbed[0], tmp_path)
    wait_until(lambda: count(tmp_path, TRIALS) >= 1, first)
    code, table, said = run(undisturbed[0], tmp_path, "--take-over")
    assert (code, table) == (0, undisturbed[2]), said
    _, said = first.communicate(timeout=WAIT_S)
    assert first.returncode == 1
    assert "has taken this sweep over" in said
    assert outcomes(tmp_path) == outcomes(undisturbed[1])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_one_clear_line_and_loses_nothing(undisturbed: tuple[Path, Path, str], small_disk: Path) -> None:
    code, table, said = run(undisturbed[0], small_disk)
    assert (code, table) == (1, "")
    assert "cannot be written: No space left on device; nothing that was there is lost" in said
    assert "Traceback" not in said
    before = written(small_disk)
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    code, table, said = run(undisturbed[0], small_disk)
    assert code == 0, said
    require_kept(before, small_disk, undisturbed, table)


@pytest.fixture
def read_only(undisturbed: tuple[Path, Path, str], tmp_path: Path) -> Iterator[Path]:
    """The undisturbed results on a disk that cannot be written; a mode would not keep root out."""
    disk = tmp_path / "disk"
    shutil.copytree(undisturbed[1], disk)
    made = subprocess.run(["mount", "--bind", str(disk), str(disk)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no read-only folder can be made here: {made.stderr.decode().strip()}")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_read_only_results_folder_is_one_clear_line(undisturbed: tuple[Path, Path, str], read_only: Path) -> None:
    code, table, said = run(undisturbed[0], read_only)
    assert (code, table) == (1, "")
    (line,) = said.splitlines()
    assert "cannot be written: Read-only file system" in line
    assert line.endswith("choose another folder with --results")
    assert outcomes(read_only) == outcomes(undisturbed[1])


@pytest.mark.parametrize("damage", ["cut short", "missing"])
def test_an_unreadable_cube_is_one_clear_line_and_loses_nothing(
    undisturbed: tuple[Path, Path, str], tmp_path: Path, damage: str
) -> None:
    shutil.copytree(undisturbed[0].parent, tmp_path / "files")
    results, cube = tmp_path / "files" / "results", tmp_path / "files" / "target_cube.npy"
    content = cube.read_bytes()
    before = written(results)
    cube.unlink() if damage == "missing" else cube.write_bytes(content[: len(content) // 2])
    code, table, said = run(tmp_path / "files" / "experiment.yaml", results)
    assert (code, table) == (1, "")
    assert len(said.splitlines()) == 1
    assert "target_cube.npy" in said
    cube.write_bytes(content)
    code, table, said = run(tmp_path / "files" / "experiment.yaml", results)
    assert code == 0, said
    require_kept(before, results, undisturbed, table)


def test_an_attempt_that_was_taken_over_writes_nothing(undisturbed: tuple[Path, Path, str], tmp_path: Path) -> None:
    shutil.copytree(undisturbed[1] / "tiny" / "agsgtl", tmp_path / "tiny" / "agsgtl")
    folder = Ledger(tmp_path / "tiny").trials("agsgtl/tiny/3")[0]
    first = folder.start_attempt()
    second = folder.start_attempt()
    progress = folder.progress()
    with pytest.raises(Interrupted, match="was taken over by attempt"):
        first.append_progress({"epoch": 99})
    assert folder.progress() == progress
    second.append_progress(progress[-1])
