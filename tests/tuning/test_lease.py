from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agsgtl.durable import NotWritable, exclusively
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning import lease
from agsgtl.tuning.lease import Holder, only_driver


def holder(**changes: object) -> Holder:
    own = Holder(1, socket.gethostname(), os.getpid(), lease._process_start(os.getpid()), lease._boot_id(), time.time())
    return dataclasses.replace(own, **changes)


def write(ledger: Ledger, held: Holder) -> None:
    ledger.path.mkdir(parents=True, exist_ok=True)
    (ledger.path / "driver.lock").write_text(json.dumps(dataclasses.asdict(held)))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "tiny")


@pytest.fixture
def gone() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_leases_are_counted(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        with only_driver(ledger) as held:
            assert held.number == number


def test_a_living_driver_is_named(ledger: Ledger) -> None:
    with (
        only_driver(ledger),
        pytest.raises(UserError, match=f"host {socket.gethostname()}, process {os.getpid()}"),
        only_driver(ledger),
    ):
        pass


@pytest.mark.parametrize("sign", ["process", "process_start", "boot_id"])
def test_a_dead_driver_on_this_host_is_recognised(ledger: Ledger, gone: int, sign: str) -> None:
    write(ledger, holder(**{sign: gone if sign == "process" else "another"}))
    with only_driver(ledger) as held:
        assert held.number == 2


@pytest.mark.parametrize(("age_s", "is_refused"), [(30, True), (90, False)])
def test_another_hosts_driver_is_dead_when_its_heartbeat_is_old(ledger: Ledger, age_s: float, is_refused: bool) -> None:
    write(ledger, holder(host="elsewhere", heartbeat=time.time() - age_s))
    if is_refused:
        with pytest.raises(UserError, match="host elsewhere"), only_driver(ledger):
            pass
    else:
        with only_driver(ledger) as held:
            assert held.number == 2


def test_take_over_stops_the_other(ledger: Ledger) -> None:
    with only_driver(ledger) as first, only_driver(ledger, take_over=True) as second:
        second.require()
        with pytest.raises(UserError, match="has taken this sweep over"):
            first.require()


@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"process": 1}, {"process_start": "another"}])
def test_a_driver_of_the_same_number_is_another_one(ledger: Ledger, other: dict[str, object]) -> None:
    with only_driver(ledger) as first:
        first.require()
        (ledger.path / "driver.lock").unlink()  # by hand: the next driver counts from 1 again
        write(ledger, holder(**other))
        with pytest.raises(UserError, match="has taken this sweep over"):
            first.require()
    assert json.loads((ledger.path / "driver.lock").read_text())["released"] is False


def test_a_lost_lease_is_not_released_for_its_new_holder(ledger: Ledger) -> None:
    with only_driver(ledger):
        write(ledger, holder(lease=7))
    assert json.loads((ledger.path / "driver.lock").read_text())["released"] is False


def test_the_heartbeat_beats(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.01)
    with only_driver(ledger):
        first = lease._read(ledger.path / "driver.lock").heartbeat
        end = time.monotonic() + 10
        while lease._read(ledger.path / "driver.lock").heartbeat == first:
            assert time.monotonic() < end


def test_the_heartbeat_outlives_a_full_disk(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.01)
    replace, tries = lease.replace_bytes, []

    def full_at_first(path: Path, content: bytes) -> None:
        tries.append(path)
        if len(tries) in (2, 3):
            raise NotWritable("No space left on device")
        replace(path, content)

    monkeypatch.setattr(lease, "replace_bytes", full_at_first)
    with only_driver(ledger):
        end = time.monotonic() + 10
        while len(tries) < 5:
            assert time.monotonic() < end


def test_a_torn_lock_holds_nobody_up(ledger: Ledger) -> None:
    ledger.path.mkdir(parents=True)
    (ledger.path / "driver.lock").write_bytes(b'{"lease": 3, "ho')
    with only_driver(ledger):
        pass


def test_a_heartbeat_waits_while_another_driver_takes_the_lease(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.01)
    path = ledger.path / "driver.lock"
    with only_driver(ledger):
        with exclusively(path.with_name(".driver.lock.guard")):
            time.sleep(0.05)  # a beat has come due meanwhile
            write(ledger, holder(lease=7))
        time.sleep(0.1)
        assert json.loads(path.read_text())["lease"] == 7
