"""Where everything lies in `results/<experiment>/`, and how it is read and written there.

A study is (method, pair, k). Its trials and the confirmations are folders of the same form:

    <method>/<pair>/<k>/trials/<n>/           a search trial; k is `sampled` where Optuna samples it
    <method>/<pair>/<k>/finals/<n>/           the same settings on further seeds, where `search.finalists` asks for it
    confirm/<method>/<pair>/<k>/<seed>/       a confirmation; `<seed>.<i>` for its further initialisations
        ask.json  attempts.jsonl  progress.jsonl  failures.jsonl  record.json  class_map.npy  scores.json  checkpoint/
"""

from __future__ import annotations

import io
import os
import socket
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agsgtl.durable import (
    append_line,
    has_torn_end,
    parse_lines,
    raw_lines,
    read_lines,
    replace_bytes,
    set_aside,
    sync,
    write_once,
)
from agsgtl.errors import Interrupted, Torn, UserError
from agsgtl.reporting.record import (
    Ask,
    Document,
    Identity,
    Reason,
    Record,
    Scores,
    ScoresFile,
    read_document,
    write_document,
)


@dataclass(frozen=True)
class TrialFolder:
    """One trial's folder; every reader copes with files that do not exist yet."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The folder of the trial's last and best weights."""
        return self.path / "checkpoint"

    def ask(self) -> Ask | None:
        """What was asked, or None."""
        return _read_if_there(Ask, f"{self.path}/ask.json")

    def write_ask(self, ask: Ask) -> bool:
        """Whether this call wrote the ask; it is durable when this returns."""
        return write_once(self.path / "ask.json", write_document(ask))

    def record(self) -> Record | None:
        """How the trial ended, or None while it has not."""
        return _read_if_there(Record, f"{self.path}/record.json")

    def has_record(self) -> bool:
        """Whether the trial ended, without reading how."""
        return (self.path / "record.json").exists()

    def write_record(self, record: Record) -> bool:
        """Whether this call wrote the record; the first writer wins. The progress that led to it is on the disk before."""
        self.sync_progress()
        return write_once(self.path / "record.json", write_document(record))

    def set_record_aside(self) -> str:
        """Sets aside a record that answers another ask, after the scores that it was given; a sentence that says so."""
        if (self.path / "scores.json").exists():
            set_aside(self.path / "scores.json")
        place = set_aside(self.path / "record.json")
        return f"{self.path}: the record answers another ask; set aside as {place.name}"

    def scores(self) -> tuple[Scores, ...]:
        """The test scores, one for each of the trial's seeds, or none while the vault was not opened for it."""
        found = _read_if_there(ScoresFile, f"{self.path}/scores.json")
        return found.scores if found else ()

    def write_scores(self, scores: tuple[Scores, ...]) -> bool:
        """Whether this call wrote the scores; they are written once."""
        return write_once(self.path / "scores.json", write_document(ScoresFile(scores=scores)))

    def class_map(self) -> NDArray[np.uint8]:
        """The predicted classes of the target scene, (seeds, height, width), 1..K.

        Raises:
            UserError: the file is not there, as in a packed ledger, or cannot be read.
        """
        file = self.path / "class_map.npy"
        try:
            return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            raise UserError(
                f"{file}: cannot be read ({error}); a class map comes with the trial that is trained"
            ) from None

    def write_class_map(self, class_map: NDArray[np.uint8]) -> None:
        """Writes the predicted classes, (seeds, height, width), 1..K."""
        content = io.BytesIO()
        np.save(content, class_map, allow_pickle=False)
        replace_bytes(self.path / "class_map.npy", content.getvalue())

    def mend(self) -> list[str]:
        """Sets aside the documents here that cannot be parsed; a sentence for each. What they said is made again.

        Raises:
            UserError: another version wrote one of them, or the system does not let it be read; then all of them stay.
        """
        damaged: dict[str, Torn] = {}
        for kind, name in ((Ask, "ask.json"), (Record, "record.json"), (ScoresFile, "scores.json")):
            try:
                _read_if_there(kind, f"{self.path}/{name}")
            except Torn as error:
                damaged[name] = error
        return [f"{error}; set aside as {set_aside(self.path / name).name}" for name, error in damaged.items()]

    def start_attempt(self) -> Attempt:
        """Logs that this process begins or goes on with the trial; any earlier attempt may write no more."""
        number = len(self.attempts()) + 1
        token = uuid.uuid4().hex
        entry = {
            "attempt": number,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "time": time.time(),
            "token": token,
        }
        append_line(self.path / "attempts.jsonl", entry)
        return Attempt(self, number, token)

    def attempts(self) -> list[dict[str, Any]]:
        """A line for each start: attempt, host, process, time, token."""
        return read_lines(f"{self.path}/attempts.jsonl")

    def append_failure(self, reason: Reason, message: str, lease: int | None = None) -> None:
        """Notes a failure that is not final: the trial will be tried again. `lease` is the driver's, where it is the one to say so."""
        progress = self.progress()
        epoch = progress[-1]["epoch"] if progress else 0
        entry = {"reason": reason, "epoch": epoch, "message": message, "time": time.time()}
        append_line(self.path / "failures.jsonl", entry | ({} if lease is None else {"lease": lease}))

    def failures(self) -> list[dict[str, Any]]:
        """The failures so far that were not final: reason, the epoch that had been reached, message, time."""
        return read_lines(f"{self.path}/failures.jsonl")

    def progress(self) -> list[dict[str, Any]]:
        """One report an epoch, in the order of epochs; of an epoch reported twice, the later line."""
        by_epoch = {line["epoch"]: line for line in read_lines(f"{self.path}/progress.jsonl") if "epoch" in line}
        return [by_epoch[epoch] for epoch in sorted(by_epoch)]

    def sync_progress(self) -> None:
        """Waits for the disk to have every report so far: for what nobody will report again."""
        sync(self.path / "progress.jsonl")

    def reports_at(self, epochs: Collection[int]) -> dict[int, dict[str, Any]]:
        """The reports of some epochs, as `progress` has them; of thousands of trials nobody wants to read every line."""
        lines = raw_lines(f"{self.path}/progress.jsonl")
        found = _reports_by_place(lines, epochs)
        if found is None:
            found = {line["epoch"]: line for line in self.progress() if line["epoch"] in epochs}
        return found

    def torn_ends(self) -> list[str]:
        """A sentence for each file of lines here whose last line a crash left torn."""
        paths = [self.path / f"{name}.jsonl" for name in ("attempts", "progress", "failures")]
        return [f"{path}: its last line is torn and is dropped" for path in paths if has_torn_end(path)]


@dataclass(frozen=True)
class Attempt:
    """One start of a trial, and what it may write: nothing once a later attempt has started, or the folder was set aside.

    A worker that outlives its driver thus cannot overwrite what its successor writes, nor answer another ask.
    """

    folder: TrialFolder
    number: int
    token: str

    def require_current(self) -> None:
        """Raises Interrupted where a later attempt has started, or the folder holds no sign of this one."""
        attempts = self.folder.attempts()
        if not attempts:
            raise Interrupted(f"attempt {self.number} lost its folder: it was set aside")
        if attempts[-1].get("token") != self.token:
            raise Interrupted(f"attempt {self.number} was taken over by attempt {attempts[-1].get('attempt')}")

    def append_progress(self, entry: dict[str, Any]) -> None:
        """Adds one report's line; not synced, since a trial that goes on reports the same again from its checkpoint on.

        `sync_progress` is for what comes before: for the checkpoint, and for the record of a trial that ended.
        """
        self.require_current()
        append_line(self.folder.path / "progress.jsonl", entry, sync=False)

    def append_failure(self, reason: Reason, message: str) -> None:
        """Notes a failure that is not final."""
        self.require_current()
        self.folder.append_failure(reason, message)

    def write_record(self, record: Record) -> bool:
        """Whether this call wrote the record; the first writer wins."""
        self.require_current()
        return self.folder.write_record(record)


@dataclass(frozen=True)
class Ledger:
    """The folder of one experiment's results."""

    path: Path

    @property
    def experiment_file(self) -> Path:
        """The resolved experiment, with versions and data checksums."""
        return self.path / "experiment.yaml"

    @property
    def pretrained(self) -> Path:
        """The folder of the source models."""
        return self.path / "pretrained"

    @property
    def vault_log(self) -> Path:
        """The log of every look at test labels."""
        return self.path / "vault.jsonl"

    def folder(self, identity: Identity) -> TrialFolder:
        """The folder of a trial.

        >>> one = Identity(experiment="demo", kind="confirm", method="lda", pair="ip/a_to_b", per_class=3, number=41)
        >>> Ledger(Path("results/demo")).folder(one).path.as_posix()
        'results/demo/confirm/lda/ip/a_to_b/3/41'
        """
        per_class = "sampled" if identity.per_class is None else str(identity.per_class)
        study = Path(identity.method) / identity.pair / per_class
        if identity.kind == "confirm":
            seed = f"{identity.number}.{identity.init}" if identity.init else str(identity.number)
            return TrialFolder(self.path / "confirm" / study / seed)
        return TrialFolder(self.path / study / _FOLDERS.get(identity.kind, "trials") / str(identity.number))

    def trials(self, study: str) -> list[TrialFolder]:
        """The trials of a study (`<method>/<pair>/<k>`) in the order of their numbers."""
        return _numbered(self.path / study / "trials")

    def finals(self, study: str) -> list[TrialFolder]:
        """The finals of a study in the order of their trials' numbers; none where it has no finalists yet."""
        return _numbered(self.path / study / "finals")

    def studies(self) -> list[str]:
        """The studies that hold trials, as `<method>/<pair>/<k>`, sorted."""
        return sorted(path.relative_to(self.path).as_posix() for path in _studies_below(self.path))

    def confirmations(self) -> Iterator[TrialFolder]:
        """Every confirmation, in the order of their paths."""
        for ask in sorted(self.path.glob("confirm/**/ask.json")):
            yield TrialFolder(ask.parent)

    def write_experiment(self, text: str) -> None:
        """Writes the resolved experiment in the place of an earlier one."""
        replace_bytes(self.experiment_file, text.encode())


def pair_of(study: str) -> str:
    """The pair in a study's name.

    >>> pair_of("lda/ip/a_to_b/3")
    'ip/a_to_b'
    """
    return "/".join(study.split("/")[1:-1])


_FOLDERS = {"final": "finals"}

SINGLE_RUNS = "runs"
"""Where `agsgtl run` keeps its trials, beside the experiments."""

OWN_FOLDERS = frozenset(
    [
        "confirm",
        "trials",
        "finals",
        "checkpoint",
        "pretrained",
        "data",
        "pairs",
        "tables",
        "figures",
        "superseded",
        ".ray",
    ]
)
"""Names that a ledger uses itself: no experiment and no part of a pair's name may be one of them."""


def _studies_below(folder: Path) -> Iterator[Path]:
    """Folders that hold `trials`, without a look into any trial: a study may have 100,000."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.name == "trials":
            yield folder
        elif entry.name not in OWN_FOLDERS and entry.is_dir():
            yield from _studies_below(entry)


def _reports_by_place(lines: list[bytes], epochs: Collection[int]) -> dict[int, dict[str, Any]] | None:
    """The reports of some epochs where line n is epoch n's, as an uninterrupted trial leaves them; else None."""
    numbers = sorted({epoch for epoch in epochs if epoch <= len(lines)} | ({len(lines)} if lines else set()))
    reports = parse_lines([lines[number - 1] for number in numbers])
    if [report.get("epoch") for report in reports] != numbers:
        return None
    return {epoch: report for epoch, report in zip(numbers, reports, strict=True) if epoch in epochs}


def _read_if_there(kind: type[Document], path: str) -> Document | None:
    """The document; `path` is a text, which for thousands of trials takes half the time of a `Path`."""
    return read_document(kind, path) if os.access(path, os.F_OK) else None


def _numbered(folder: Path) -> list[TrialFolder]:
    return [TrialFolder(path) for path in sorted(folder.glob("*"), key=_number) if path.name.isdecimal()]


def _number(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdecimal() else -1, path.name)
