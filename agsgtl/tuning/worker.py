"""What a Ray worker does with a job: it maps the pair, runs the trainer, and leaves the result in the ledger."""

from __future__ import annotations

import socket
import time
import traceback
from functools import lru_cache
from pathlib import Path
from typing import Any

from ray import tune

from agsgtl.config import configure
from agsgtl.data.mapped import map_pair
from agsgtl.data.pairing import DomainPair
from agsgtl.durable import NotWritable
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.seeds import Seeds
from agsgtl.trial import Place, Report, ensure_source_model, failed_record, run_trial
from agsgtl.tuning.packing import Measured, held_to_share, measured_columns
from agsgtl.tuning.stopping import stop_file

NOT_WRITABLE = "not_writable"
"""The key of a report that says which file could not be written; the driver ends the sweep with it."""

OUT_OF_SIGHT = "out_of_sight"
"""The key of a report that says which host does not see which file of the job; the driver issues the job again."""

SIGHT_S = 20.0
"""So long a worker looks for a job's file before it gives the job back: shared storage may be late to show what is new."""

REPORT_EVERY_S = 1.0
"""Seconds between reports to the driver; the ledger gets every epoch."""


def work(job: dict[str, Any]) -> None:
    """Runs one job; the actor that runs it is used again for the next one.

    An error of ours ends in the trial's record with its traceback. An error in a source model is left to the trials that
    need it: each meets it again and records it. A disk that is full is the driver's matter, who ends the sweep, and so is a
    host that does not see the results. So Ray sees a failure only where a process died.

    Args:
        job: the fields of a `Job`, and `results`, the experiment's folder.
    """
    ledger = Ledger(Path(job["results"]))
    is_model = job["kind"] == "source_model"
    needed = ledger.experiment_file if is_model else ledger.path / job["folder"] / "ask.json"
    if not _comes_into_sight(needed):
        tune.report({"key": job["key"], OUT_OF_SIGHT: f"host {socket.gethostname()} does not see {needed}"})
        return
    started, started_cpu = time.time(), time.process_time()
    run = _train_source_model if is_model else _run_trial
    try:
        with held_to_share(job["gpu"]):
            run(ledger, job)
            memory = measured_columns()
    except NotWritable as error:
        tune.report({"key": job["key"], NOT_WRITABLE: str(error)})
        return
    times = {"started_at": started, "ended_at": time.time(), "cpu_s": time.process_time() - started_cpu}
    tune.report({"key": job["key"], **times, **memory})


def _comes_into_sight(file: Path) -> bool:
    end = time.monotonic() + SIGHT_S
    while not file.exists():
        if time.monotonic() >= end:
            return False
        time.sleep(0.5)
    return True


def _train_source_model(ledger: Ledger, job: dict[str, Any]) -> None:
    try:
        config, seeds = configure(job["config"], origin=job["key"]), Seeds(**job["seeds"])
        stop = stop_file(ledger.path, job["lease"])
        ensure_source_model(config, _mapped_pair(ledger.path, job["pair"]), seeds, ledger.pretrained, stop.exists)
    except NotWritable:
        raise
    except Exception:
        return  # no file says it


def _run_trial(ledger: Ledger, job: dict[str, Any]) -> None:
    folder = TrialFolder(ledger.path / job["folder"])
    ask = folder.ask()
    if ask is None:
        return  # its folder was set aside meanwhile
    try:
        pair = _mapped_pair(ledger.path, job["pair"])
        config = configure(ask.config, origin=str(folder.path / "ask.json"))
        stop = stop_file(ledger.path, job["lease"])
        place = Place(folder, ledger.pretrained, _Reporter(), stop.exists, job["timeout_s"], job["retries"])
        run_trial(config, pair, ask, place)
    except NotWritable:
        raise
    except UserError as error:
        folder.write_record(failed_record(ask, "bad_input", str(error)))
    except Exception:
        folder.write_record(failed_record(ask, "error", traceback.format_exc()))


class _Reporter:
    """Passes a trial's reports on to the driver, now and then."""

    def __init__(self) -> None:
        self.reported_at = 0.0
        self.measured = Measured()

    def __call__(self, report: Report) -> None:
        memory = self.measured(report["epoch"])
        if memory or time.monotonic() - self.reported_at >= REPORT_EVERY_S:
            self.reported_at = time.monotonic()
            names = ("epoch", "epochs", "score", "best_score", "best_epoch")
            tune.report({name: report[name] for name in names} | memory)


@lru_cache(maxsize=2)
def _mapped_pair(results: Path, name: str) -> DomainPair:
    return map_pair(results, name)
