"""Files that a crash cannot hurt: written whole or not at all, once where once is meant, and synced to disk."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agsgtl.errors import UserError

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""How file systems say that they have no hard links (FAT, some FUSE and object stores)."""


class NotWritable(UserError):
    """The disk is full, or the folder may not be written."""


def write_once(path: Path, content: bytes) -> bool:
    """Whether this call wrote `path`; False where another writer was first, whose file then stays as it is.

    A hard link is the one step that creates a name with its whole content and fails if the name exists. Over NFS the
    reply to a link that succeeded can get lost; the temporary file's link count then tells.
    """
    with _temporary_beside(path) as temporary:
        _write_synced(temporary, content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return os.stat(temporary).st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _write_exclusively(path, content)
    _sync_folder(path.parent)
    return True


def limits_of(folder: Path) -> list[str]:
    """What the file system under `folder` cannot do of what the ledger would like, as sentences; usually none.

    Raises:
        UserError: nothing can be written there.
    """
    probe = folder / f".probe-{uuid.uuid4().hex}"
    replace_bytes(probe, b"")
    try:
        os.link(probe, probe.with_suffix(".link"))
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return [
            f"{folder}: this file system has no hard links: a crash may leave a record torn; it is then set aside and made again"
        ]
    finally:
        probe.unlink()
        probe.with_suffix(".link").unlink(missing_ok=True)
    return []


def replace(path: Path, write: Callable[[Path], None], sync: bool = True) -> None:
    """Puts what `write` writes to the temporary path it is given in the place of `path`, in one step.

    `sync=False` spares the wait for the disk where a reader copes with a file that a power cut has torn.
    """
    with _temporary_beside(path) as temporary:
        write(temporary)
        if sync:
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
        os.replace(temporary, path)
    if sync:
        _sync_folder(path.parent)


def replace_bytes(path: Path, content: bytes, sync: bool = True) -> None:
    """Puts `content` in the place of `path`, in one step; `sync` as for `replace`."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    replace(path, write, sync)


def free_name(place: Path) -> Path:
    """`place`, or where that is taken the first free one with a number behind its name."""
    free, number = place, 1
    while free.exists():
        free, number = place.with_name(f"{place.name}-{number}"), number + 1
    return free


def move_folder(folder: Path, place: Path) -> None:
    """Moves a folder to `place`, whose earlier content, if any, gets a number behind its name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    free = free_name(place)
    folder.rename(free)
    _sync_folder(free.parent)


def append_line(path: Path, entry: Mapping[str, Any], sync: bool = True) -> bytes:
    """Appends one JSON line, and gives its bytes, newline left out; a torn line that a crash left at the end is closed
    first, so that it stays alone.

    `sync=False` spares the wait for the disk where losing the last lines in a power cut is harmless, or `sync` follows.
    """
    with _said_clearly(path), open(path, "ab+") as lines:
        if lines.tell() > 0:
            lines.seek(-1, os.SEEK_END)
            if lines.read(1) != b"\n":
                lines.write(b"\n")
        line = json_bytes(entry, indent=None)
        lines.write(line)
        lines.flush()
        if sync:
            os.fsync(lines.fileno())
    return line.removesuffix(b"\n")


def sync(path: Path) -> None:
    """Waits for the disk to have the lines that were appended with `sync=False`; a missing file has none."""
    if not path.exists():
        return
    with _said_clearly(path), open(path, "rb") as file:
        os.fsync(file.fileno())
        _sync_folder(path.parent)


def set_aside(path: Path) -> Path:
    """Renames a file that cannot be read to `<name>.damaged`, numbered where that is taken; where it lies now."""
    place = free_name(path.with_name(f"{path.name}.damaged"))
    path.rename(place)
    return place


def read_lines(path: Path | str) -> list[dict[str, Any]]:
    """The entries of a file of JSON lines, in order; torn lines and a missing file give nothing."""
    return parse_lines(raw_lines(path))


def raw_lines(path: Path | str) -> list[bytes]:
    """The lines of a file as they stand there; none where it is missing."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def parse_lines(lines: list[bytes]) -> list[dict[str, Any]]:
    """The entries of lines of JSON without those that are torn; read as one list, which is twice as fast, where none is."""
    try:
        entries: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        entries = []
    if len(entries) != len(lines):
        entries = []
        for line in lines:
            with suppress(ValueError):
                entries.append(json.loads(line))
    return [entry for entry in entries if isinstance(entry, dict)]


def has_torn_end(path: Path | str) -> bool:
    """Whether a crash left the last line of a file of JSON lines without its end; `read_lines` drops it."""
    lines = raw_lines(path)
    return bool(lines) and not parse_lines(lines[-1:])


def json_bytes(content: Any, indent: int | None = 1) -> bytes:
    """JSON text with a newline at its end; NaN and infinity are refused, since other readers refuse them too."""
    return (json.dumps(content, indent=indent, allow_nan=False) + "\n").encode()


@contextmanager
def exclusively(guard: Path) -> Iterator[None]:
    """One process at a time, on any host that shares the folder; a process that dies lets go.

    Raises:
        NotWritable: the guard's file cannot be made.
    """
    with _said_clearly(guard):
        held = open(guard, "ab")  # noqa: SIM115 - closed below
    with held:
        with _said_clearly(guard):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    with _said_clearly(path):
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _said_clearly(path: Path) -> Iterator[None]:
    """A full disk or a read-only folder as one line that names the file; makes the folder first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except FileExistsError as error:
        raise NotWritable(
            f"{path}: cannot be written: {path.parent} is a file, not a folder; choose another"
        ) from error
    except OSError as error:
        if error.errno is None:
            raise
        raise NotWritable(
            f"{path}: cannot be written: {os.strerror(error.errno)}; nothing that was there is lost"
        ) from error


def _write_exclusively(path: Path, content: bytes) -> bool:
    """`write_once` without hard links: the name is taken first, so a crash may leave it with half its content."""
    try:
        file = open(path, "xb")  # noqa: SIM115 - the name is taken here, and given back below where it cannot be filled
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise
    return True


def _write_synced(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
