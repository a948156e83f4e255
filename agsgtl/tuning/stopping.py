"""Stopping a sweep: the first Ctrl-C lets running trials save a checkpoint, the second ends everything at once.

SIGTERM and SIGUSR1 (what Slurm sends before a time limit) count as one Ctrl-C. Workers on any host learn of it from a
file beside the ledger, which they look for after every epoch.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from agsgtl.durable import replace_bytes

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
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
        print("stopping: running trials save their checkpoints; once more to stop at once", file=sys.stderr, flush=True)
        replace_bytes(self.file, b"")

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
def stop_on_signals(request: StopRequest) -> Iterator[None]:
    """Turns the signals into stop requests for the time of the block."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    request.listen()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        request.clear()
