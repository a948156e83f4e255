"""The vault's log is a chain: a look is logged once, and no line can be changed, removed or added in silence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic import write_confirm, write_search

from agsgtl.durable import move_folder
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.reporting.vaultlog import VaultLog, read_looks, read_openings


@pytest.fixture
def opened(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "demo")
    write_confirm(ledger.path, "lda", {41: None, 50: None, 61: None})
    log = VaultLog(ledger)
    for folder in ledger.confirmations():
        assert log.append(folder, "confirm")
        assert not log.append(folder, "confirm")
    return ledger


def test_every_look_is_one_line_of_a_chain(opened: Ledger) -> None:
    openings = read_openings(opened)
    assert [opening.record for opening in openings] == [f"confirm/lda/toy/a_to_b/3/{seed}" for seed in (41, 50, 61)]
    assert openings[0].previous is None
    assert openings[1].previous is not None
    assert openings[0].pair == "toy/a_to_b"
    assert openings[0].pair_fingerprint == "0123456789abcdef"


def test_the_same_look_is_logged_once_and_another_purpose_again(opened: Ledger) -> None:
    first = next(opened.confirmations())
    assert not VaultLog(opened).append(first, "confirm")
    assert VaultLog(opened).append(first, "evaluate")
    assert len(read_openings(opened)) == 4


def test_a_record_that_was_lost_and_made_again_was_replaced_by_no_choice(opened: Ledger) -> None:
    first = next(opened.confirmations())
    record = json.loads((first.path / "record.json").read_text())
    (first.path / "record.json").write_text(json.dumps(record | {"cost": record["cost"] | {"duration_s": 123.0}}))
    assert VaultLog(opened).append(first, "confirm")
    assert read_looks(opened).replaced == 0
    (first.path / "record.json").write_text(json.dumps(record | {"config_hash": "another"}))
    assert read_looks(opened).replaced == 1


def test_a_log_that_another_process_went_on_with_stays_one_chain(opened: Ledger) -> None:
    first, second, third = opened.confirmations()
    old, new = VaultLog(opened), VaultLog(opened)
    assert new.append(first, "evaluate")
    assert not old.append(first, "evaluate")  # the other one's look
    assert old.append(second, "evaluate")
    assert new.append(third, "evaluate")
    assert [opening.purpose for opening in read_openings(opened)] == ["confirm"] * 3 + ["evaluate"] * 3


def crash_before_the_last_head(ledger: Ledger) -> None:
    """Puts the head back to where it was before the last line."""
    lines = ledger.vault_log.read_bytes().splitlines()[:-1]
    head = {"lines": len(lines), "last": hashlib.sha256(lines[-1]).hexdigest()}
    (ledger.path / "vault.head").write_text(json.dumps(head))


@pytest.mark.parametrize("harm", ["change", "remove", "swap", "forge"])
def test_a_harmed_chain_is_an_error(opened: Ledger, harm: str) -> None:
    lines = opened.vault_log.read_text().splitlines()
    if harm == "change":
        lines[0] = lines[0].replace('"confirm"', '"evaluate"')
    elif harm == "remove":
        del lines[1]
    elif harm == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines.insert(1, json.dumps({**json.loads(lines[0]), "time": 1.0}))
    opened.vault_log.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="chain of hashes is broken"):
        read_openings(opened)
    with pytest.raises(UserError, match="chain of hashes is broken"):
        VaultLog(opened).append(next(opened.confirmations()), "evaluate")


@pytest.mark.parametrize("harm", ["change", "remove", "remove all"])
def test_harm_to_the_last_lines_is_an_error_too(opened: Ledger, harm: str) -> None:
    lines = opened.vault_log.read_text().splitlines(keepends=True)
    if harm == "change":
        lines[-1] = lines[-1].replace('"confirm"', '"evaluate"')
    kept = {"change": lines, "remove": lines[:1], "remove all": []}[harm]
    opened.vault_log.write_text("".join(kept))
    with pytest.raises(UserError, match=r"broken at its end: vault\.head knows of 3 lines"):
        read_openings(opened)
    with pytest.raises(UserError, match="broken at its end"):
        VaultLog(opened)
    opened.vault_log.unlink()
    with pytest.raises(UserError, match="broken at its end"):
        read_openings(opened)


def test_a_line_whose_head_a_crash_prevented_counts_and_the_next_head_covers_it(opened: Ledger) -> None:
    crash_before_the_last_head(opened)
    assert len(read_openings(opened)) == 3
    assert VaultLog(opened).append(next(opened.confirmations()), "evaluate")
    assert json.loads((opened.path / "vault.head").read_text())["lines"] == 4


def test_a_log_without_a_head_reads_and_gets_one(opened: Ledger) -> None:
    (opened.path / "vault.head").unlink()  # as older versions left it, or as it was packed
    assert len(read_openings(opened)) == 3
    VaultLog(opened).append(next(opened.confirmations()), "evaluate")
    assert json.loads((opened.path / "vault.head").read_text())["lines"] == 4


@pytest.mark.parametrize("content", ["", "{}", '{"lines": 3', '{"lines": "3", "last": ""}', "[3]"])
def test_a_head_that_cannot_be_read_is_one_line(opened: Ledger, content: str) -> None:
    (opened.path / "vault.head").write_text(content)
    with pytest.raises(UserError, match=r"vault\.head: cannot be read; restore it and vault\.jsonl from one copy"):
        read_openings(opened)


def write_after_first_read(monkeypatch: pytest.MonkeyPatch, write: Callable[[], object], of: str) -> None:
    """Lets a writer in right behind the first read of a file of this name (a pattern)."""
    read, waiting = Path.read_bytes, [write]

    def read_then_write(path: Path) -> bytes:
        content = read(path)
        if path.match(of) and waiting:
            waiting.pop()()
        return content

    monkeypatch.setattr(Path, "read_bytes", read_then_write)


def test_a_look_logged_while_the_log_is_read_is_no_broken_chain(
    opened: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, first = VaultLog(opened), next(opened.confirmations())
    write_after_first_read(monkeypatch, lambda: log.append(first, "evaluate"), of="vault.*")
    assert len(read_openings(opened)) in (3, 4)
    assert len(read_openings(opened)) == 4


def test_a_line_half_written_while_the_log_is_read_is_no_broken_chain(
    opened: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_before_the_last_head(opened)
    whole = opened.vault_log.read_bytes()
    opened.vault_log.write_bytes(whole[:-20])
    write_after_first_read(monkeypatch, lambda: opened.vault_log.write_bytes(whole), of="vault.jsonl")
    assert len(read_openings(opened)) == 2
    assert len(read_openings(opened)) == 3


def test_a_torn_last_line_is_set_right_by_the_next_look(opened: Ledger) -> None:
    crash_before_the_last_head(opened)
    whole = opened.vault_log.read_bytes()
    opened.vault_log.write_bytes(whole[:-20])
    assert len(read_openings(opened)) == 2
    last = list(opened.confirmations())[-1]
    assert VaultLog(opened).append(last, "confirm")
    assert [opening.record[-2:] for opening in read_openings(opened)] == ["41", "50", "61"]


def test_a_line_that_lost_only_its_newline_still_counts(opened: Ledger) -> None:
    opened.vault_log.write_bytes(opened.vault_log.read_bytes()[:-1])
    assert VaultLog(opened).append(next(opened.confirmations()), "evaluate")
    assert len(read_openings(opened)) == 4


def test_the_vault_opens_for_finished_trials_only(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="finished trials only"):
        VaultLog(Ledger(tmp_path)).append(TrialFolder(tmp_path / "confirm/x"), "confirm")


def test_no_log_means_no_looks(tmp_path: Path) -> None:
    assert read_openings(Ledger(tmp_path)) == []


@pytest.mark.parametrize("later", ["agsgtl/toy/a_to_b/3/trials/9", "agsgtl/toy/a_to_b/3/finals/0"])
def test_what_is_asked_after_a_look_is_counted(tmp_path: Path, later: str) -> None:
    ledger = Ledger(tmp_path / "demo")
    write_search(ledger.path, "agsgtl", [0.5, 0.6])
    write_confirm(ledger.path, "lda", {41: None, 50: None})
    for folder in ledger.confirmations():
        VaultLog(ledger).append(folder, "confirm")
    assert read_looks(ledger).before_extension == 0
    (ledger.path / later).mkdir(parents=True)
    assert read_looks(ledger).before_extension == 2


def test_a_search_set_aside_and_begun_anew_after_a_look_is_counted(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "demo")
    write_search(ledger.path, "agsgtl", [0.5, 0.6])
    write_confirm(ledger.path, "lda", {41: None})
    VaultLog(ledger).append(next(ledger.confirmations()), "confirm")
    move_folder(ledger.path / "agsgtl/toy/a_to_b/3", ledger.path / "superseded/agsgtl/toy/a_to_b/3")
    assert read_looks(ledger).before_extension == 0
    write_search(ledger.path, "agsgtl", [0.5, 0.6])
    assert read_looks(ledger).before_extension == 1


def test_a_log_from_before_finals_were_counted_still_reads(opened: Ledger) -> None:
    line = json.loads(opened.vault_log.read_text().splitlines()[0])
    del line["finals"]
    opened.vault_log.write_text(json.dumps(line) + "\n")
    (opened.path / "vault.head").unlink()
    (opened.path / "agsgtl/toy/a_to_b/3/finals/0").mkdir(parents=True)
    assert read_looks(opened).before_extension == 0
