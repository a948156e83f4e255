"""One driver an experiment: a lease in `driver.lock` with a heartbeat, and how a dead driver's is recognised.

On one host a driver is dead if its process is gone, or is another one under the same number (start time, boot id). On
another host it is dead if its heartbeat is old. A lease has a number; a driver that lost its lease stops asking.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeGuard

from agsgtl.durable import NotWritable, exclusively, replace_bytes
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger

HEARTBEAT_S = 10.0
STALE_AFTER_S = 60.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: number, host, process, that process's start and the host's boot, last sign of life."""

    lease: int
    host: str
    process: int
    process_start: str
    boot_id: str
    heartbeat: float
    released: bool = False

    @property
    def driver(self) -> tuple[str, int, str]:
        """Which process it is, of all that ever were."""
        return self.host, self.process, self.process_start

    def is_alive(self) -> bool:
        """Whether this driver may still be at work."""
        if self.released:
            return False
        if self.host == socket.gethostname():
            return self.boot_id == _boot_id() and self.process_start == _process_start(self.process) != ""
        return time.time() - self.heartbeat < STALE_AFTER_S


class Lease:
    """This driver's lease on a ledger, kept by a heartbeat until it is released."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        self.is_lost = False
        self._driver = (socket.gethostname(), os.getpid(), _process_start(os.getpid()))
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def require(self) -> None:
        """Raises UserError where another driver has taken over."""
        holder = _read(self.path)
        if self._is_anothers(holder):
            self.is_lost = True
            raise UserError(
                f"{self.path.parent}: a driver on host {holder.host}, process {holder.process}, has taken this sweep over; this one stops"
            )

    def start(self) -> None:
        """Writes the lease and keeps it alive."""
        self._write()
        self._thread.start()

    def release(self) -> None:
        """Lets go of the lease, if it is still held."""
        self._released.set()
        self._thread.join()
        self._write_if_held(released=True)

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            with suppress(NotWritable):  # a full disk: whoever asks for a job says so, and the next beat may succeed
                self._write_if_held()
            if self.is_lost:
                return

    def _write_if_held(self, released: bool = False) -> None:
        """Writes the lease unless another driver has it: under the guard, so that none can take it in between."""
        with exclusively(_guard(self.path)):
            holder = _read(self.path)
            self.is_lost = self._is_anothers(holder)
            if not self.is_lost:
                self._write(released)

    def _is_anothers(self, holder: Holder | None) -> TypeGuard[Holder]:
        """Whether another driver has it: one that starts after somebody deleted the file has the same number."""
        return holder is not None and (holder.lease, *holder.driver) != (self.number, *self._driver)

    def _write(self, released: bool = False) -> None:
        holder = Holder(self.number, *self._driver, _boot_id(), time.time(), released)
        replace_bytes(self.path, json.dumps(asdict(holder)).encode())


@contextmanager
def only_driver(ledger: Ledger, take_over: bool = False) -> Iterator[Lease]:
    """Holds the experiment's lease.

    Args:
        ledger: of the experiment.
        take_over: take the lease from a driver that seems alive; it stops at its next ask.

    Raises:
        UserError: another driver holds it (its host and process are named), or the folder cannot be written.
    """
    try:
        lease = _acquire(ledger.path / "driver.lock", take_over)
    except NotWritable as error:
        raise UserError(f"{error}; choose another folder with --results") from None
    try:
        yield lease
    finally:
        lease.release()


def _acquire(path: Path, take_over: bool) -> Lease:
    with exclusively(_guard(path)):
        holder = _read(path)
        if holder is not None and holder.is_alive() and not take_over:
            raise UserError(
                f"{path.parent}: a sweep of this experiment is running on host {holder.host}, process {holder.process}; wait for it, "
                "stop it, or take over with --take-over if you are sure that it is dead"
            )
        lease = Lease(path, holder.lease + 1 if holder else 1)
        lease.start()
        return lease


def _guard(path: Path) -> Path:
    return path.with_name(".driver.lock.guard")


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None  # none yet, or torn: then nobody can be named, and the next write mends it


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _process_start(process: int) -> str:
    """The start time of a process in clock ticks since boot (field 22 of /proc/<pid>/stat); empty where it is gone."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return "" if not _exists(process) else "unknown"
    return stat.rpartition(")")[2].split()[19]


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True
