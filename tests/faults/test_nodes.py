"""Standing clusters with real nodes: a node that is lost in mid-trial, two nodes behind a token, and who is refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from processes import descendants
from ray._private.authentication.authentication_token_setup import enable_token_auth_by_default
from ray.cluster_utils import Cluster
from sweeps import WAIT_S, folders, run, start, wait_until

from agsgtl.config import configure
from agsgtl.data.mapped import map_pair
from agsgtl.errors import UserError
from agsgtl.reporting.ledger import TrialFolder
from agsgtl.trial import run_trial
from agsgtl.tuning.cluster import _own_token
from agsgtl.tuning.joining import require_reachable
from experiments import SPACE, write_experiment

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

LONG = {"trial": None, "search__trials": 3, "search__seeds": [0], "search__scheduler": "none", "confirm__seeds": [41]}


def long_experiment(folder: Path, epochs: int, **changes: object) -> Path:
    from quick import QUICK

    trial = {**QUICK, "adapt.epochs": epochs, "adapt.early_stop": "none"}
    settings = {**LONG, "trial": trial, "confirm__methods": ["lda"], **changes}
    return write_experiment(folder, {"fine_tune": SPACE}, **settings)


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Cluster, set[int]]]:
    """A cluster of two nodes of one CPU each, behind this process's token, and the process ids of the second node."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", _own_token())
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    enable_token_auth_by_default()
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = cluster.add_node(num_cpus=1)
        raylet = node.all_processes["raylet"][0].process.pid
        yield cluster, {raylet}
    finally:
        cluster.shutdown()


def under_way_on(raylet: int, results: Path) -> TrialFolder | None:
    """A trial that has trained an epoch in a worker of this node and is not over."""
    workers = descendants(raylet)
    for folder in folders(results):
        attempts = folder.attempts()
        if attempts and attempts[-1]["process"] in workers and folder.progress() and not folder.has_record():
            return folder
    return None


@pytest.mark.parametrize("retries", [None, 0])
def test_a_trial_whose_node_is_lost_goes_on_elsewhere(
    two_nodes: tuple[Cluster, set[int]], tmp_path: Path, retries: int | None
) -> None:
    """With no retry allowed, which is the control, the same loss ends the trial."""
    cluster, (raylet,) = two_nodes
    experiment = long_experiment(tmp_path, epochs=2000, failures={"retries": {"node_lost": retries}})
    driver = start(experiment, tmp_path / "results", "--address", cluster.address)
    found: list[TrialFolder] = []

    def is_under_way() -> bool:
        found[:] = [folder] if (folder := under_way_on(raylet, tmp_path / "results")) else []
        return bool(found)

    wait_until(is_under_way, driver)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    _, said = driver.communicate(timeout=WAIT_S)
    (lost,) = found
    record = lost.record()
    assert [failure["reason"] for failure in lost.failures()] == ["node_lost"]
    if retries == 0:
        assert (record.status, record.reason, driver.returncode) == ("failed", "node_lost", 2), said
        return
    assert driver.returncode == 0, said
    assert len(lost.attempts()) == 2
    assert all(folder.has_record() for folder in folders(tmp_path / "results"))
    ask = lost.ask()
    replay = run_trial(configure(ask.config, origin="replay"), map_pair(tmp_path / "results" / "tiny", "tiny"), ask)
    assert record.outcome() == replay.outcome()


def ray_start(token: Path, *options: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("RAY_AUTH_TOKEN", None)
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, node: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + WAIT_S
    while socket.socket().connect_ex(("127.0.0.2", port)):
        assert node.poll() is None, "the node ended"
        assert time.monotonic() < end, "the node never listened"
        time.sleep(0.1)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of two nodes started with `ray start` on loopback, and the file with their token."""
    token, port = tmp_path / "token", free_port()
    token.write_text("a1" * 32)
    token.chmod(0o600)
    head = ray_start(token, "--head", "--node-ip-address=127.0.0.2", f"--port={port}", "--include-dashboard=false")
    nodes = [head]
    try:
        wait_for_port(port, head)
        nodes.append(ray_start(token, f"--address=127.0.0.2:{port}", "--node-ip-address=127.0.0.2"))
        yield f"127.0.0.2:{port}", token
    finally:
        for pid in {pid for node in nodes for pid in descendants(node.pid) | {node.pid}}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # asked to end, Ray's nodes drain for half a minute
        for node in nodes:
            node.wait(timeout=WAIT_S)


def test_two_started_nodes_serve_who_has_the_token_and_refuse_others(
    started: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, token = started
    experiment = long_experiment(tmp_path, epochs=4)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    wrong = tmp_path / "wrong"
    wrong.write_text("b2" * 32)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(wrong))
    code, _, said = run(experiment, tmp_path / "refused", "--address", address)
    assert code == 1, said
    ours = [line for line in said.splitlines() if not line.startswith("[")]  # Ray's own log has a line too
    assert len(ours) == 1
    assert ours[0].startswith(f"agsgtl: --address {address}: the cluster refuses this token; set RAY_AUTH_MODE=token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    code, table, said = run(experiment, tmp_path / "results", "--address", address)
    assert code == 0, said
    assert "lda" in table
    assert not (tmp_path / "results" / "tiny" / ".joining").exists()
    with pytest.raises(UserError, match=r"no Ray cluster answers|refuses this token"):
        require_reachable(f"127.0.0.2:{free_port()}")
