"""The log of every look at test labels: one line a record opened, each holding the hash of the line before it.

`vault.jsonl` is a chain: line n names the SHA-256 of line n-1's bytes (newline left out), the first line names null. A
line that was changed, removed or put in between breaks the chain; only the torn end that a crash leaves may be cut off.
What no line follows yet is held by `vault.head`, written after each line: how many lines there are and the last one's hash.

This guards against accidents and against edits that nobody is told of. It does not guard against somebody who writes
the whole chain and its head anew: no file that lies beside the log could.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from agsgtl.durable import append_line, exclusively, json_bytes, replace_bytes
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.record import Record

Purpose = Literal["confirm", "evaluate"]

_CONFIG_HASH = "[0-9a-f]" * 16
"""A glob pattern of `Ask.config_hash`: a `*` would take the first part of a longer pair's name for one."""


@dataclass(frozen=True)
class Looks:
    """What a note says of vaults: the (results, record) folders they were opened for, which distinct records those were (a
    folder holds another one after its search chose another winner), which of them were confirmations and which of these
    stand there still, and the looks before a search was extended.
    """

    records: frozenset[tuple[str, str]] = frozenset()
    distinct: frozenset[tuple[str, str]] = frozenset()
    confirmations: frozenset[tuple[str, str]] = frozenset()
    standing: frozenset[tuple[str, str]] = frozenset()
    early: frozenset[tuple[str, ...]] = frozenset()

    def __or__(self, other: Looks) -> Looks:
        """What both say together; a copy of a ledger says nothing new."""
        return Looks(*(getattr(self, part.name) | getattr(other, part.name) for part in fields(self)))

    @property
    def before_extension(self) -> int:
        """How many looks came before a search on their pair was extended."""
        return len(self.early)

    @property
    def replaced(self) -> int:
        """How many confirmations were opened and are no part of the results any more."""
        return len(self.confirmations - self.standing)


@dataclass(frozen=True)
class Opening:
    """One look: `record` is the folder of the record opened, relative to the results folder; `time` is in seconds.

    `search_trials` and `finals` count what was asked of searches on this pair up to then, set aside or not: a search that
    was extended or begun anew later had them grow, whatever the clocks say (None: a log from before it was counted).
    `lease` is the number of the driver that opened the vault, None outside an experiment. `config_hash` is the record's: a
    record that was lost and made again has the same (None: a log from before it was kept).
    """

    time: float
    record: str
    record_sha256: str
    pair: str
    pair_fingerprint: str
    purpose: Purpose
    search_trials: int
    previous: str | None
    lease: int | None = None
    finals: int | None = None
    config_hash: str | None = None


@dataclass(frozen=True)
class Head:
    """What is known of the log beside the log: that it has at least so many lines, and the SHA-256 of the last of them.

    A line more is no harm: a crash comes between a line and its head, and an older version wrote none.
    """

    lines: int
    last: str


class VaultLog:
    """The log, open to append to; read once, so that ten thousand looks cost as many times what one does.

    It is read again where another process has written to it meanwhile, as a driver that took a sweep over may: each line
    follows the one that lies before it. For a time in which no trial is asked: `search_trials` and `finals` are counted once
    a pair.

    Raises:
        UserError: the chain is broken.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._asked: dict[str, dict[str, int]] = {}
        with self._only_writer():
            self._read()

    def _read(self) -> None:
        _cut_torn_end(self._ledger.vault_log)
        openings = read_openings(self._ledger)
        self._known = {_look(opening) for opening in openings}
        self._previous = _sha256(_lines(self._ledger.vault_log)[-1]) if openings else None
        self._count, self._size = len(openings), _size(self._ledger.vault_log)

    def append(self, folder: TrialFolder, purpose: Purpose, lease: int | None = None) -> bool:
        """Whether this call logged the look; False where this very record was opened for this purpose before.

        The line is on disk when this returns: call it before the test labels are read.

        Raises:
            UserError: the folder holds no record, or another process broke the chain meanwhile.
        """
        record = folder.record()
        if record is None:
            raise UserError(f"{folder.path}: the vault opens for finished trials only, and this one has no record.json")
        with self._only_writer():
            if _size(self._ledger.vault_log) != self._size:
                self._read()
            return self._append(folder, record, purpose, lease)

    def _append(self, folder: TrialFolder, record: Record, purpose: Purpose, lease: int | None) -> bool:
        opening = Opening(
            time=time.time(),
            record=folder.path.relative_to(self._ledger.path).as_posix(),
            record_sha256=file_sha256(folder.path / "record.json"),
            pair=record.identity.pair,
            pair_fingerprint=record.pair_fingerprint,
            purpose=purpose,
            **self._asked_on(record.identity.pair),
            previous=self._previous,
            lease=lease,
            config_hash=record.config_hash,
        )
        if _look(opening) in self._known:
            return False
        line = append_line(self._ledger.vault_log, asdict(opening))
        self._known.add(_look(opening))
        self._previous, self._size = _sha256(line), _size(self._ledger.vault_log)
        self._count += 1
        _write_head(self._ledger, Head(lines=self._count, last=self._previous))
        return True

    def _only_writer(self) -> AbstractContextManager[None]:
        return exclusively(self._ledger.path / ".vault.jsonl.guard")

    def _asked_on(self, pair: str) -> dict[str, int]:
        if pair not in self._asked:
            trials, finals = count_asked(self._ledger, pair, "trials"), count_asked(self._ledger, pair, "finals")
            self._asked[pair] = {"search_trials": trials, "finals": finals}
        return self._asked[pair]


def read_openings(ledger: Ledger) -> list[Opening]:
    """Every look at test labels, in order; none where there is no log.

    Raises:
        UserError: the chain is broken, the line is named; or the log's end is not the one that `vault.head` knows.
    """
    # The head first, and each file once: a sweep may be writing. Its line comes before its head, so the head that was read
    # knows of no line that is not there yet.
    head, content = _content(_head_file(ledger)), _content(ledger.vault_log) or b""
    previous, openings = None, []
    lines = content.splitlines()
    for number, line in enumerate(lines, start=1):
        opening = _parse(line)
        if opening is None and number == len(lines) and not content.endswith(b"\n"):
            break
        if opening is None or opening.previous != previous:
            raise UserError(
                f"{ledger.vault_log}, line {number}: the chain of hashes is broken: this line or the one "
                "before it was changed, removed or added by hand; restore the file from a "
                "copy, or treat these test scores as compromised"
            )
        openings.append(opening)
        previous = _sha256(line)
    _require_head(ledger, head, lines[: len(openings)])
    return openings


def read_looks(ledger: Ledger) -> Looks:
    """What was looked at in this ledger; raises UserError where the chain is broken."""
    openings = read_openings(ledger)
    pairs = {opening.pair for opening in openings}
    trials, finals = ({pair: count_asked(ledger, pair, kind) for pair in pairs} for kind in ("trials", "finals"))
    early = [
        opening
        for opening in openings
        if opening.search_trials < trials[opening.pair]
        or (opening.finals is not None and opening.finals < finals[opening.pair])
    ]
    confirmed = [opening for opening in openings if opening.purpose == "confirm"]
    return Looks(
        records=frozenset((str(ledger.path), opening.record) for opening in openings),
        distinct=frozenset((opening.record, opening.record_sha256) for opening in openings),
        confirmations=frozenset(
            (opening.record, opening.config_hash or opening.record_sha256) for opening in confirmed
        ),
        standing=_standing(ledger, {opening.record for opening in confirmed}),
        early=frozenset(_look(opening) for opening in early),
    )


def _standing(ledger: Ledger, folders: Iterable[str]) -> frozenset[tuple[str, str]]:
    """The records that lie in some folders now, each by its config's hash and by its file's."""
    standing = set()
    for folder in folders:
        record = TrialFolder(ledger.path / folder).record()
        if record is not None:
            standing |= {(folder, record.config_hash), (folder, file_sha256(ledger.path / folder / "record.json"))}
    return frozenset(standing)


def count_asked(ledger: Ledger, pair: str, kind: Literal["trials", "finals"]) -> int:
    """How many search trials, or finals, were asked on a pair, over all methods and counts of labels, set aside or not.

    A study is set aside whole; a final whose seeds changed alone, under the hash of what it was asked.
    """
    study = f"*/{pair}/*/{kind}"
    places = (study, f"superseded/{study}", f"superseded/{_CONFIG_HASH}/{study}")
    return sum(1 for place in places for folder in ledger.path.glob(place) for _ in folder.iterdir())


def _head_file(ledger: Ledger) -> Path:
    return ledger.vault_log.with_name("vault.head")


def _write_head(ledger: Ledger, head: Head) -> None:
    replace_bytes(_head_file(ledger), json_bytes(asdict(head), indent=None))


def _require_head(ledger: Ledger, content: bytes | None, lines: Sequence[bytes]) -> None:
    """Refuses a log that lost lines at its end, or whose last known line is another one; without a head all is believed."""
    if content is None:
        return
    file = _head_file(ledger)
    try:
        head = Head(**json.loads(content))
        is_there = head.lines <= len(lines) and _sha256(lines[head.lines - 1]) == head.last
    except (ValueError, TypeError, IndexError):
        raise UserError(f"{file}: cannot be read; restore it and {ledger.vault_log.name} from one copy") from None
    if not is_there:
        raise UserError(
            f"{ledger.vault_log}: the chain of hashes is broken at its end: {file.name} knows of {head.lines} lines, and the last of "
            "them was changed or removed; restore both files from one copy, or treat these test scores as compromised"
        )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _look(opening: Opening) -> tuple[str, ...]:
    """What makes two openings the same look: whenever, and by whichever driver."""
    return opening.record, opening.record_sha256, opening.pair, opening.pair_fingerprint, opening.purpose


def _parse(line: bytes) -> Opening | None:
    try:
        return Opening(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _lines(path: Path) -> list[bytes]:
    return (_content(path) or b"").splitlines()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _cut_torn_end(path: Path) -> None:
    """Drops the end that a crash tore: its look was never granted, since the line comes before the look."""
    content = _content(path) or b""
    whole, newline, torn = content.rpartition(b"\n")
    if torn and _parse(torn) is None:
        replace_bytes(path, whole + newline)
    elif torn:
        replace_bytes(path, content + b"\n")


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
