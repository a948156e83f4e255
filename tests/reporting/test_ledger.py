from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import make_record, write_run

from agsgtl.durable import move_folder
from agsgtl.errors import Interrupted, OtherVersion, UserError
from agsgtl.reporting.ledger import TrialFolder
from agsgtl.reporting.record import Identity
from agsgtl.seeds import Seeds


def line(epoch: int, score: float) -> bytes:
    return json.dumps({"epoch": epoch, "score": score}).encode() + b"\n"


STRAIGHT = b"".join(line(epoch, epoch / 10) for epoch in range(1, 7))
HISTORIES = {
    "straight": STRAIGHT,
    "gone on from epoch 2": STRAIGHT + b"".join(line(epoch, epoch / 100) for epoch in range(3, 7)),
    "gone on and not over": STRAIGHT + line(3, 0.03),
    "torn at its end": STRAIGHT[:-9],
    "torn within": line(1, 0.1) + b'{"epoch": 2, "sc\n' + line(2, 0.02) + line(3, 0.03),
    "empty": b"",
}


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("epochs", [(2, 4), (3,), (6,), (9,), ()])
def test_reports_of_some_epochs_are_those_of_the_whole(tmp_path: Path, history: str, epochs: tuple[int, ...]) -> None:
    (tmp_path / "progress.jsonl").write_bytes(HISTORIES[history])
    folder = TrialFolder(tmp_path)
    whole = {report["epoch"]: report for report in folder.progress()}
    assert folder.reports_at(epochs) == {epoch: whole[epoch] for epoch in epochs if epoch in whole}


def test_of_an_epoch_reported_twice_the_later_line_counts(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_bytes(HISTORIES["gone on from epoch 2"])
    assert TrialFolder(tmp_path).reports_at([2, 3])[3]["score"] == 0.03


def test_a_torn_end_is_said_once_with_its_file(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    folder.start_attempt()
    assert folder.torn_ends() == []
    (tmp_path / "progress.jsonl").write_bytes(HISTORIES["torn at its end"])
    assert folder.torn_ends() == [f"{tmp_path / 'progress.jsonl'}: its last line is torn and is dropped"]
    folder.start_attempt().append_progress({"epoch": 6, "score": 0.6})
    assert folder.torn_ends() == []
    assert [report["epoch"] for report in folder.progress()] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("is_started_anew", [False, True])
def test_an_attempt_whose_folder_was_set_aside_writes_no_more(tmp_path: Path, is_started_anew: bool) -> None:
    identity = Identity(experiment="e", kind="search", method="lda", pair="a", per_class=3, number=0)
    asked, record = make_record(identity, [Seeds(labels=0, init=0)])
    folder = TrialFolder(tmp_path / "trials/0")
    write_run(folder, asked, None)
    old = folder.start_attempt()
    move_folder(folder.path, tmp_path / "superseded/trials/0")
    write_run(folder, make_record(identity, [Seeds(labels=7, init=7)])[0], None)
    if is_started_anew:
        folder.start_attempt()
    with pytest.raises(Interrupted):
        old.write_record(record)
    with pytest.raises(Interrupted):
        old.append_progress({"epoch": 1, "score": 0.5})
    assert (folder.has_record(), folder.progress()) == (False, [])


def test_a_torn_document_beside_one_of_another_version_stays_too(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    (tmp_path / "ask.json").write_text('{"identity": ')
    (tmp_path / "scores.json").write_text('{"scores": [], "since": 1}')
    with pytest.raises(
        OtherVersion, match=r"scores\.json: is no ScoresFile of this version: since is not known here; another agsgtl"
    ):
        folder.mend()
    (tmp_path / "scores.json").unlink()
    assert [said.partition(":")[0] for said in folder.mend()] == [str(tmp_path / "ask.json")]


def test_a_document_that_the_system_does_not_let_be_read_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "ask.json").write_text("{")
    (tmp_path / "record.json").mkdir()
    with pytest.raises(UserError, match=r"record\.json: cannot be read: Is a directory"):
        TrialFolder(tmp_path).mend()
    assert {path.name for path in tmp_path.iterdir()} == {"ask.json", "record.json"}
