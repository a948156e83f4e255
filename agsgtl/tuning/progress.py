"""What a user sees while a sweep runs: one calm line that refreshes on a terminal, JSON lines elsewhere; on stderr."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from ray import tune
from rich.console import Console
from rich.live import Live
from rich.table import Table

from agsgtl.tuning.jobs import JobQueue

REFRESH_S = 1.0
LINE_EVERY_S = 15.0


class Progress(tune.Callback):
    """Told by Tune of every result and end; prints what the queue says."""

    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue
        self.started_at = self.printed_at = time.monotonic()
        self.done_at_start = _done(queue)
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None

    def setup(self, *args: Any, **info: Any) -> None:
        """Starts the display."""
        if self.live:
            self.live.start()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing to pickle: Tune writes its state in passing, and nobody reads it."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Refreshes, now and then."""
        now = time.monotonic()
        if now - self.printed_at >= (REFRESH_S if self.live else LINE_EVERY_S):
            self.printed_at = now
            self._print()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Stops the display."""
        if self.live:
            self.live.stop()
        else:
            self._print()

    def _print(self) -> None:
        if self.live:
            self.live.update(self._table(), refresh=True)
        else:
            print(json.dumps(self.summary()), file=sys.stderr, flush=True)

    def summary(self) -> dict[str, Any]:
        """What is done of what is planned, the best score of each study, and the time left by the pace so far."""
        done, planned, elapsed = _done(self.queue), planned_jobs(self.queue), time.monotonic() - self.started_at
        fresh = done - self.done_at_start
        return {
            "elapsed_s": round(elapsed),
            "left_s": round(elapsed / fresh * (planned - done)) if fresh else None,
            "done": done,
            "planned": planned,
            "running": len(self.queue.running),
            "best": {
                str(study.name): round(best[0].score or 0.0, 4)
                for study in self.queue.studies
                if (best := study.winners())
            },
        }

    def _table(self) -> Table:
        summary = self.summary()
        left = f", about {summary['left_s'] / 60:.0f} min left" if summary["left_s"] is not None else ""
        table = Table(
            title=f"{summary['done']} of {summary['planned']} trainings done, {summary['running']} running, "
            f"{summary['elapsed_s'] / 60:.1f} min{left}",
            title_justify="left",
            box=None,
        )
        for column in ("study", "trials", "pruned", "failed", "best score"):
            table.add_column(column, justify="left" if column == "study" else "right")
        for study in self.queue.studies:
            states = [outcome.status for outcome in study.outcomes.values()]
            best = summary["best"].get(str(study.name))
            table.add_row(
                str(study.name),
                f"{len(states)}/{study.search.trials}",
                str(states.count("pruned")),
                str(states.count("failed")),
                "" if best is None else f"{best:.3f}",
            )
        return table


def planned_jobs(queue: JobQueue) -> int:
    """Search trials, finals and confirmations of the whole experiment, as far as they are known."""
    file = queue.experiment.file
    per_method = len(file.confirm.seeds) * file.confirm.inits_per_draw
    confirmations = len(queue.choices) * per_method
    open_studies = sum(not study.is_decided and study.name.method in file.confirm.methods for study in queue.studies)
    trials = sum(study.search.trials + study.search.finalists for study in queue.studies)
    return trials + confirmations + open_studies * per_method


def _done(queue: JobQueue) -> int:
    return sum(len(study.outcomes) + len(study.finals) for study in queue.studies) + queue.confirmed
