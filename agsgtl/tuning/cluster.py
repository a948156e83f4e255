"""Ray, started or joined, and used: one Tuner runs all jobs of a sweep on reused actors; its directory is disposable.

A Ray of our own listens on loopback alone, and there too refuses whoever lacks the token that is made for this process.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray._private import ray_constants
from ray.tune.execution import tune_controller
from ray.tune.utils.object_cache import _ObjectCache

from agsgtl.errors import UserError
from agsgtl.tuning.cpus import usable_cpus
from agsgtl.tuning.experimentfile import Resources
from agsgtl.tuning.joining import require_joinable, require_reachable
from agsgtl.tuning.packing import share_of
from agsgtl.tuning.searcher import LedgerSearcher
from agsgtl.tuning.stopping import undoing_rays_handler
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


def local_slots(resources: Resources, gpus: int) -> int:
    """How many trials run at once on this machine.

    Raises:
        UserError: not even one fits.
    """
    return _slots(resources, usable_cpus(), gpus)


@contextmanager
def ray_session(address: str | None, gpus: int | None = None) -> Iterator[None]:
    """Ray, started here for this sweep alone, or joined at an address; quiet either way.

    Args:
        address: of a standing cluster; None starts Ray here.
        gpus: how many GPUs to pretend that there are here; None counts them.

    Raises:
        UserError: the cluster does not answer, refuses the token, or this host is none of its nodes.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()})
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what became of a trial is in its record
    with _own_ray(gpus) if address is None else _standing_ray(address):
        try:
            yield
        finally:
            ray.shutdown()


_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}


@contextmanager
def _own_ray(gpus: int | None) -> Iterator[None]:
    """A Ray of our own on loopback, behind a token; a token that the user has set stays."""
    own = {} if os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} else {"RAY_AUTH_TOKEN": _own_token()}
    # Where RAY_AUTH_MODE is not set, `ray.init` switches tokens on, in this process and in those that it starts.
    with _environment(own, without=("RAY_AUTH_MODE",)), _loopback_only():
        with undoing_rays_handler():
            ray.init(address="local", num_cpus=usable_cpus(), num_gpus=gpus, include_dashboard=False, **_QUIET)
        yield


@contextmanager
def _standing_ray(address: str) -> Iterator[None]:
    """The cluster at an address; its workers get our switches too."""
    require_reachable(address)
    try:
        with undoing_rays_handler():
            ray.init(address=address, runtime_env={"env_vars": _switches()}, **_QUIET)
    except (RuntimeError, ConnectionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"--address {address}: Ray cannot join: {reason}; "
            "start the sweep on one of the cluster's nodes, with its versions of Ray and Python"
        ) from None
    yield


def _switches() -> dict[str, str]:
    return {name: os.environ[name] for name in (*_ENVIRONMENT, "OMP_NUM_THREADS") if name in os.environ}


@cache
def _own_token() -> str:
    """This process's token; one only, since Ray's client keeps the first that it reads."""
    return secrets.token_hex(32)


@contextmanager
def _environment(added: dict[str, str], without: Sequence[str] = ()) -> Iterator[None]:
    """Environment variables for as long as Ray runs; then as they were."""
    before = {name: os.environ.get(name) for name in (*added, *without)}
    for name in without:
        os.environ.pop(name, None)
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _loopback_only() -> Iterator[None]:
    """All daemons of a Ray that starts now bind to 127.0.0.1, as Ray does on macOS and Windows.

    Ray 2.60 turns `_node_ip_address="127.0.0.1"` into the host's outer address and then binds to all interfaces. The one
    thing that keeps it from doing so is this constant, which Ray reads from RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER on import.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def check_cluster(address: str | None, folder: Path) -> None:
    """Checks every node of a joined cluster against this driver; a Ray of our own needs no check.

    Raises:
        UserError: as `require_joinable`.
    """
    if address is not None:
        require_joinable(folder, address)


def cluster_slots(resources: Resources) -> int:
    """How many trials run at once on the cluster that Ray is connected to: the sum over its nodes.

    Raises:
        UserError: not even one fits on any node.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    sizes = [(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]
    slots = sum(_fitting(resources, cpus, gpus) for cpus, gpus in sizes)
    return slots or _slots(resources, *max(sizes, default=(0, 0)))


def run_jobs(
    searcher: LedgerSearcher,
    resources: Resources,
    folder: Path,
    callbacks: Sequence[tune.Callback],
    trainable: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Runs what the searcher hands out until it has nothing left, or until Ctrl-C; returns normally in both cases.

    `trainable` is what a worker does with a config, in tests and benchmarks; left out, it works on the job.
    """
    storage = folder / ".ray"
    tuner = tune.Tuner(
        tune.with_resources(trainable or work_config, _needs(resources)),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=-1, reuse_actors=True, trial_dirname_creator=_short_name
        ),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex,
            storage_path=str(storage.resolve()),
            failure_config=tune.FailureConfig(
                max_failures=0
            ),  # the queue issues a lost trial again, by the experiment's rules
            callbacks=list(callbacks),
            verbose=0,
        ),
    )
    try:
        with _keeping_idle_actors():
            tuner.fit()
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def work_config(config: dict[str, Any]) -> None:
    """The trainable: Ray's config holds one job."""
    work(config["job"])


class _IdleActors(_ObjectCache):
    """Tune's idle actors, all kept; Tune itself keeps one, so that of two trials that end together one costs a new process.

    An idle actor holds its resources, so Tune's own rule counts as soon as a trial waits that could not use any of them.
    """

    def cache_object(self, key: Any, obj: Any) -> bool:
        """Keeps the actor of a trial that has ended, where it is not in the way."""
        if self._is_in_the_way():
            return bool(super().cache_object(key, obj))
        self._cached_objects[key].append(obj)
        self._num_cached_objects += 1
        return True

    def flush_cached_objects(self, force_all: bool = False) -> Generator[Any, None, None]:
        """The actors to end now."""
        if force_all or self._is_in_the_way():
            yield from super().flush_cached_objects(force_all)

    def _is_in_the_way(self) -> bool:
        return any(
            waiting > 0 and not self._cached_objects[key] for key, waiting in list(self._max_num_objects.items())
        )


@contextmanager
def _keeping_idle_actors() -> Iterator[None]:
    before = vars(tune_controller)["_ObjectCache"]
    vars(tune_controller)["_ObjectCache"] = _IdleActors
    try:
        yield
    finally:
        vars(tune_controller)["_ObjectCache"] = before


def _needs(resources: Resources) -> tune.PlacementGroupFactory | Callable[[dict[str, Any]], tune.PlacementGroupFactory]:
    """What one job occupies; of a shared GPU the part that the driver chose, by the memory that the job's kind needs."""
    if not 0 < resources.gpu < 1:
        return _bundle(resources.cpu, resources.gpu)
    return lambda config: _bundle(resources.cpu, share_of(config["job"], resources.gpu))


def _bundle(cpu: int, gpu: float) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([{"CPU": cpu, **({"GPU": gpu} if gpu else {})}])


def _short_name(trial: Any) -> str:
    return str(trial.trial_id)


def _slots(resources: Resources, cpus: int, gpus: int) -> int:
    if slots := _fitting(resources, cpus, gpus):
        return slots
    raise UserError(
        f"a trial needs {resources.cpu} CPUs and {resources.gpu:g} GPUs, but there are {cpus} and {gpus}; lower `resources` "
        "in the experiment file, or go where there is more"
    )


def _fitting(resources: Resources, cpus: int, gpus: int) -> int:
    """How many trials fit on one machine; parts of one GPU share it, and Ray never splits a trial over two."""
    slots = cpus // resources.cpu
    if resources.gpu:
        slots = min(slots, gpus * int(1 / resources.gpu) if resources.gpu < 1 else int(gpus // resources.gpu))
    return slots
