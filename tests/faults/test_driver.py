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

from agsgtl.reporting.ledger import Ledger
from experiments import write_experiment

pytestmark = pytest.mark.faults

TRIALS = "*/tiny/*/trials/*/record.json"
CONFIRMED = "confirm/*/tiny/*/*/record.json"


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """An experiment, the results of its undisturbed sweep, and the table."""
    folder = tmp_path_factory.mktemp("calm")
    experiment = write_experiment(folder)
    code, table, said = run(experiment, folder / "results")
    assert code == 0, said
    return experiment, folder / "results", table


def count(results: Path, pattern: str) -> int:
    return len(list((results / "tiny").glob(pattern)))


def require_kept(before: dict[Path, tuple[int, int]], results: Path, calm: tuple[Path, Path, str], table: str) -> None:
    """The promise: every finished trial kept as it was written, every outcome and the table as undisturbed."""
    now = written(results)
    assert {path: now.get(path) for path in before} == before
    assert outcomes(results) == outcomes(calm[1])
    assert table == calm[2]


@pytest.mark.parametrize("moment", ["before any record", "mid-way", "in confirm"])
def test_a_killed_driver_loses_and_repeats_nothing(calm: tuple[Path, Path, str], tmp_path: Path, moment: str) -> None:
    reached = {
        "before any record": lambda: count(tmp_path, "*/tiny/*/trials/*/attempts.jsonl") >= 1,
        "mid-way": lambda: count(tmp_path, TRIALS) >= 4,
        "in confirm": lambda: count(tmp_path, TRIALS) == 10 and count(tmp_path, CONFIRMED) >= 2,
    }
    driver = start(calm[0], tmp_path)
    wait_until(reached[moment], driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    before = written(tmp_path)
    code, table, said = run(calm[0], tmp_path)
    assert code == 0, said
    require_kept(before, tmp_path, calm, table)


def test_the_check_itself_notices_a_lost_and_a_repeated_record(calm: tuple[Path, Path, str], tmp_path: Path) -> None:
    """The negative control: were records ignored on resume, the test above would fail."""
    shutil.copytree(calm[1], tmp_path / "results")
    results = tmp_path / "results"
    before = written(results)
    victim = next(iter(before))
    content = victim.read_bytes()
    victim.unlink()
    with pytest.raises(AssertionError):
        require_kept(before, results, calm, calm[2])
    (results / "keeps the inode from being used again").touch()
    victim.write_bytes(content)
    with pytest.raises(AssertionError):
        require_kept(before, results, calm, calm[2])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_one_signal_saves_checkpoints_and_says_how_to_go_on(
    calm: tuple[Path, Path, str], tmp_path: Path, number: int
) -> None:
    driver = start(calm[0], tmp_path)
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
    code, table, said = run(calm[0], tmp_path)
    assert code == 0, said
    require_kept(before, tmp_path, calm, table)


def test_two_signals_stop_at_once(calm: tuple[Path, Path, str], tmp_path: Path) -> None:
    driver = start(calm[0], tmp_path)
    wait_until(lambda: count(tmp_path, TRIALS) >= 1, driver)
    driver.send_signal(signal.SIGINT)
    wait_until(lambda: list((tmp_path / "tiny").glob(".stop-*")), driver)
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=20)
    assert driver.returncode == 130
    code, table, said = run(calm[0], tmp_path)
    assert (code, table) == (0, calm[2]), said


def test_a_killed_worker_is_replaced_and_its_trial_goes_on(calm: tuple[Path, Path, str], tmp_path: Path) -> None:
    driver = start(calm[0], tmp_path)
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
    require_kept({}, tmp_path, calm, table)
    assert any(len(folder.attempts()) > 1 for folder in folders(tmp_path))  # else nobody was hit


@pytest.mark.parametrize("damage", [b"", b'{"schema_version": 1, "ident', b"\x00\xff not json"])
def test_damaged_files_are_set_aside_and_made_again(
    calm: tuple[Path, Path, str], tmp_path: Path, damage: bytes
) -> None:
    results = tmp_path / "results"
    shutil.copytree(calm[1], results)
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
    code, table, said = run(calm[0], results)
    assert code == 0, said
    assert said.count("set aside as") >= 6
    assert (trial / "1/record.json.damaged").read_bytes() == damage
    assert table == calm[2]
    assert outcomes(results) == outcomes(calm[1])


def test_a_second_driver_is_refused_and_the_first_goes_on(calm: tuple[Path, Path, str], tmp_path: Path) -> None:
    driver = start(calm[0], tmp_path)
    wait_until(lambda: count(tmp_path, "driver.lock"), driver)
    code, table, said = run(calm[0], tmp_path)
    assert (code, table) == (1, "")
    assert f"process {driver.pid}" in said
    table, said = driver.communicate(timeout=WAIT_S)
    assert (driver.returncode, table) == (0, calm[2])


def test_a_driver_that_was_taken_over_stops(calm: tuple[Path, Path, str], tmp_path: Path) -> None:
    first = start(calm[0], tmp_path)
    wait_until(lambda: count(tmp_path, TRIALS) >= 1, first)
    code, table, said = run(calm[0], tmp_path, "--take-over")
    assert (code, table) == (0, calm[2]), said
    _, said = first.communicate(timeout=WAIT_S)
    assert first.returncode == 1
    assert "has taken this sweep over" in said
    assert outcomes(tmp_path) == outcomes(calm[1])


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


def test_a_full_disk_is_one_clear_line_and_loses_nothing(calm: tuple[Path, Path, str], small_disk: Path) -> None:
    code, table, said = run(calm[0], small_disk)
    assert (code, table) == (1, "")
    assert "cannot be written: No space left on device; nothing that was there is lost" in said
    assert "Traceback" not in said
    before = written(small_disk)
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    code, table, said = run(calm[0], small_disk)
    assert code == 0, said
    require_kept(before, small_disk, calm, table)


def test_an_attempt_that_was_taken_over_writes_nothing(calm: tuple[Path, Path, str]) -> None:
    folder = Ledger(calm[1] / "tiny").trials("agsgtl/tiny/3")[0]
    first = folder.start_attempt()
    second = folder.start_attempt()
    progress = folder.progress()
    with pytest.raises(Exception, match="was taken over by attempt"):
        first.append_progress({"epoch": 99})
    assert folder.progress() == progress
    second.append_progress(progress[-1])
