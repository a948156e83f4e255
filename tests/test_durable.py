from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agsgtl import durable
from agsgtl.durable import (
    NotWritable,
    append_line,
    exclusively,
    limits_of,
    move_folder,
    read_lines,
    replace,
    replace_bytes,
    set_aside,
    write_once,
)


def test_the_first_writer_wins(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    assert write_once(path, b"first") is True
    assert write_once(path, b"second") is False
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["record.json"]  # no temporary file stays


def test_a_lost_reply_to_a_link_that_succeeded_counts_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def link_and_lose_the_reply(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", link_and_lose_the_reply)
    assert write_once(tmp_path / "record.json", b"mine") is True


def test_the_content_is_on_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    fsync, link = os.fsync, os.link

    def note_fsync(descriptor: int) -> None:
        happened.append("sync folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "sync file")
        fsync(descriptor)

    def note_link(source: Path, target: Path) -> None:
        happened.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "link", note_link)
    write_once(tmp_path / "ask.json", b"{}")
    assert happened == ["sync file", "link", "sync folder"]


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_links")
def test_without_hard_links_the_first_writer_still_wins(tmp_path: Path) -> None:
    assert "no hard links" in limits_of(tmp_path)[0]
    assert write_once(tmp_path / "record.json", b"first") is True
    assert write_once(tmp_path / "record.json", b"second") is False
    assert (tmp_path / "record.json").read_bytes() == b"first"


def test_an_ordinary_file_system_has_no_limits_and_keeps_no_probe(tmp_path: Path) -> None:
    assert limits_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_bytes(path, b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        durable.replace(path, fail)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_said_with_the_files_name(tmp_path: Path) -> None:
    def fill(temporary: Path) -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(
        NotWritable, match=r"file: cannot be written: No space left on device; nothing that was there is lost"
    ):
        durable.replace(tmp_path / "file", fill)


def test_a_torn_last_line_is_dropped_and_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_line(path, {"n": 1})
    with path.open("ab") as file:
        file.write(b'{"n": 2, "torn')
    assert read_lines(path) == [{"n": 1}]
    append_line(path, {"n": 3})
    assert read_lines(path) == [{"n": 1}, {"n": 3}]


def test_lines_of_a_missing_file_are_none(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "nothing") == []


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_line(tmp_path / "lines.jsonl", {"score": float("nan")})
    assert json.loads(durable.json_bytes({"a": 1})) == {"a": 1}


def test_what_is_set_aside_keeps_its_content_and_never_overwrites(tmp_path: Path) -> None:
    places = []
    for content in (b"one", b"two"):
        (tmp_path / "record.json").write_bytes(content)
        places.append(set_aside(tmp_path / "record.json"))
    assert [place.read_bytes() for place in places] == [b"one", b"two"]


def test_moving_a_folder_twice_keeps_both(tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "study").mkdir()
        (tmp_path / "study" / "file").write_text(content)
        move_folder(tmp_path / "study", tmp_path / "superseded" / "study")
    kept = sorted(path.read_text() for path in (tmp_path / "superseded").glob("*/file"))
    assert kept == ["one", "two"]


def test_a_guard_keeps_the_second_out_until_the_first_is_gone(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from agsgtl.durable import exclusively\n"
        f"with exclusively(Path({str(tmp_path / 'guard')!r})): print('in', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    first = subprocess.Popen([sys.executable, "-c", code], **pipes)
    assert first.stdout.readline() == "in\n"
    with open(tmp_path / "guard", "ab") as held, pytest.raises(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    first.kill()
    first.wait()
    with exclusively(tmp_path / "guard"):
        pass


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.md").touch()
    with pytest.raises(NotWritable, match=r"t\.md is a file, not a folder; choose another"):
        replace_bytes(tmp_path / "t.md" / "table.md", b"")


@pytest.mark.usefixtures("no_links")
def test_without_hard_links_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(durable, "_write_synced", lambda path, content: path.write_bytes(content))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotWritable, match="No space left on device"):
        write_once(tmp_path / "record.json", b"{}")
    assert list(tmp_path.iterdir()) == []


def test_a_guard_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable, match="cannot be written"), exclusively(tmp_path / "file" / "below" / "guard"):
        pass


@pytest.mark.parametrize(("sync", "waits"), [(True, 2), (False, 0)])
def test_only_what_has_to_survive_a_power_cut_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool, waits: int
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    replace(tmp_path / "file", lambda temporary: temporary.write_text("whole") and None, sync)
    assert len(synced) == waits
    assert (tmp_path / "file").read_text() == "whole"
