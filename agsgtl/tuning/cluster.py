"""Ray, started and used: one Tuner runs all jobs of a sweep on reused actors; its directory is disposable."""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune

from agsgtl.errors import UserError
from agsgtl.tuning.experiment import Resources
from agsgtl.tuning.searcher import LedgerSearcher
from agsgtl.tuning.worker import work

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "600",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Ray's switches: no loggers of its own, no tables on the console, no GPU for a trial that asked for none."""


def usable_cpus() -> int:
    """The CPUs that this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def local_slots(resources: Resources, gpus: int) -> int:
    """How many trials run at once on this machine.

    Raises:
        UserError: not even one fits.
    """
    return _slots(resources, usable_cpus(), gpus)


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Ray, started here for this sweep alone, or joined at an address; quiet either way."""
    os.environ.update({name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()})
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what became of a trial is in its record
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if address is None:
        ray.init(num_cpus=usable_cpus(), include_dashboard=False, **quiet)
    else:
        ray.init(address=address, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def cluster_slots(resources: Resources) -> int:
    """How many trials run at once on the cluster that Ray is connected to."""
    there = ray.cluster_resources()
    return _slots(resources, int(there.get("CPU", 0)), int(there.get("GPU", 0)))


def run_jobs(searcher: LedgerSearcher, resources: Resources, folder: Path, callbacks: Sequence[tune.Callback]) -> None:
    """Runs what the searcher hands out until it has nothing left, or until Ctrl-C; returns normally in both cases."""
    storage = folder / ".ray"
    trainable = tune.with_resources(work_config, {"cpu": resources.cpu, "gpu": resources.gpu})
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(search_alg=searcher, num_samples=-1, reuse_actors=True, trial_dirname_creator=_short_name),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex,
            storage_path=str(storage.resolve()),
            failure_config=tune.FailureConfig(max_failures=0),  # the queue issues a lost trial again, by the experiment's rules
            callbacks=list(callbacks),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def work_config(config: dict[str, Any]) -> None:
    """The trainable: Ray's config holds one job."""
    work(config["job"])


def _short_name(trial: Any) -> str:
    return str(trial.trial_id)


def _slots(resources: Resources, cpus: int, gpus: int) -> int:
    slots = cpus // resources.cpu
    if resources.gpu:
        # Parts of one GPU share it; Ray never splits a trial over two.
        slots = min(slots, gpus * int(1 / resources.gpu) if resources.gpu < 1 else int(gpus // resources.gpu))
    if slots < 1:
        raise UserError(
            f"a trial needs {resources.cpu} CPUs and {resources.gpu:g} GPUs, but there are {cpus} and {gpus}; lower `resources` "
            "in the experiment file"
        )
    return slots
