"""Stopping a sweep: the first Ctrl-C lets running trials save a checkpoint, the second ends everything at once.

SIGTERM and SIGUSR1 (what Slurm sends before a time limit) count as one Ctrl-C. Workers on any host learn of it from a
file beside the ledger, which they look for after every epoch. While no trial can run (pairs are unpacked, Ray starts,
confirmations are scored) any of the signals is a KeyboardInterrupt: there is nothing to wait for.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from agsgtl.durable import replace_bytes

OF_SLURM = (signal.SIGTERM, signal.SIGUSR1)
SIGNALS = (signal.SIGINT, *OF_SLURM)
INTERRUPTED = 130


def stop_file(results: Path, lease: int) -> Path:
    """The file that tells the workers of one driver to stop."""
    return results / f".stop-{lease}"


class StopRequest:
    """Whether a stop was asked for."""

    def __init__(self, results: Path, lease: int, on_stop: Callable[[], None]) -> None:
        self.file = stop_file(results, lease)
        self.on_stop = on_stop
        self.is_set = False
        self.clear()  # of a driver of the same number, whose lease somebody deleted

    def ask(self) -> None:
        """Asks for a stop; the second time, this process ends at once and Ray's with it."""
        if self.is_set:
            print("stopped at once; finished trials are kept", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
        self.is_set = True
        self.on_stop()
        replace_bytes(self.file, b"")  # first: a terminal that has gone takes no print, and workers learn of it here
        print("stopping: running trials save their checkpoints; once more to stop at once", file=sys.stderr, flush=True)

    def listen(self) -> None:
        """Takes the signals; again before each job, since Tune takes SIGUSR1 for itself when it starts."""
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.ask()

    def clear(self) -> None:
        """Removes the file."""
        self.file.unlink(missing_ok=True)


@contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Makes SIGTERM and SIGUSR1 a KeyboardInterrupt for the time of the block, as SIGINT is already, unless a shell ignores it.

    Left alone, they would end this process with a code that says nothing of going on, and no cleaning up.
    """
    with _keeping_handlers(OF_SLURM):
        for number in OF_SLURM:
            signal.signal(number, _interrupt)
        yield


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def undoing_rays_handler() -> Iterator[None]:
    """Gives SIGTERM back to whom it was when the block ends; a SIGTERM within it is a KeyboardInterrupt.

    `ray.init` makes it `sys.exit(15)`.
    """
    try:
        with _keeping_handlers((signal.SIGTERM,)):
            yield
    except SystemExit as end:
        if end.code == signal.SIGTERM:
            raise KeyboardInterrupt from None
        raise


@contextmanager
def stop_on_signals(request: StopRequest) -> Iterator[None]:
    """Turns the signals into stop requests for the time of the block."""
    try:
        with _keeping_handlers(SIGNALS):
            request.listen()
            yield
    finally:
        request.clear()


@contextmanager
def _keeping_handlers(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
