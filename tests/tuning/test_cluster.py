"""A Ray of our own: what it listens on, whom it refuses, and what it leaves behind; slots across nodes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import ray
from grpc_caller import UNAUTHENTICATED, UNIMPLEMENTED, grpc_status
from processes import descendants, listening_addresses, started_with

from agsgtl.errors import UserError
from agsgtl.tuning import cluster
from agsgtl.tuning.cluster import cluster_slots, local_slots, ray_session
from agsgtl.tuning.experimentfile import Resources

ASK = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    print(len(GcsClient(address=sys.argv[1]).get_all_node_info(timeout=20)), "node")
except AuthenticationError as error:
    print("refused:", str(error).split(".")[0])
"""


def caller(address: str, **authentication: str) -> str:
    """What a process of its own hears that asks the cluster for its nodes."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")
    } | authentication
    command = [sys.executable, "-c", ASK, address]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=100, check=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def own_ray() -> Iterator[tuple[str, dict[str, str]]]:
    """The address and the environment while a Ray of our own runs, with one worker."""
    with ray_session(None):
        ray.get(ray.remote(lambda: None).remote())
        yield ray.get_runtime_context().gcs_address, dict(os.environ)


@pytest.mark.slow
def test_everything_listens_on_loopback_alone(own_ray: tuple[str, dict[str, str]]) -> None:
    address, _ = own_ray
    open_here = listening_addresses({os.getpid()} | descendants(os.getpid()))
    assert int(address.rpartition(":")[2]) in {port for _, port in open_here}  # the control: these are Ray's
    assert len(open_here) > 3
    assert {host for host, _ in open_here if not host.is_loopback} == set()


@pytest.mark.slow
def test_who_has_no_token_or_another_is_refused(own_ray: tuple[str, dict[str, str]]) -> None:
    address, environment = own_ray
    assert environment["RAY_AUTH_MODE"] == "token"
    assert caller(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=environment["RAY_AUTH_TOKEN"]) == "1 node"
    assert caller(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64).startswith("refused: ")
    assert caller(address, RAY_AUTH_MODE="disabled").startswith("refused: ")


SERVICES = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.NodeManagerService/GetWorkerPIDs",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
)


def answers(host: str, port: int, token: str | None) -> set[int]:
    """What the services behind a port of Ray's say: gRPC's status, or HTTP's from the one daemon that speaks it."""
    with socket.create_connection((host, port), timeout=20) as connection:
        own = f"Authorization: Bearer {token}\r\n" if token else ""
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n{own}\r\n".encode())
        greeting = connection.recv(4096)
    if greeting.startswith(b"HTTP/1.1 "):
        return {int(greeting.split()[1])}
    return {grpc_status(host, port, method, token) for method in SERVICES} - {UNIMPLEMENTED}


@pytest.mark.slow
def test_whatever_listens_refuses_a_caller_without_the_token(own_ray: tuple[str, dict[str, str]]) -> None:
    """GCS, raylet, object manager, workers, driver by gRPC; the runtime environment agent by HTTP."""
    _, environment = own_ray
    ports = {port for _, port in listening_addresses({os.getpid()} | descendants(os.getpid()))}
    refused = {UNAUTHENTICATED}, {401}, {403}  # HTTP knows no token and a wrong one apart
    for port in ports:
        assert answers("127.0.0.1", port, None) in refused
        assert answers("127.0.0.1", port, "0" * 64) in refused
        assert answers("127.0.0.1", port, environment["RAY_AUTH_TOKEN"]) in ({0}, {404})  # the control


@pytest.mark.slow
def test_no_dashboard_and_no_job_api_runs(own_ray: tuple[str, dict[str, str]]) -> None:
    """Ray starts the dashboard's process all the same, for its usage statistics, with nothing to ask it."""
    ours = descendants(os.getpid())
    assert listening_addresses(started_with(ours, "gcs_server"))  # the control
    heads = started_with(ours, "dashboard/dashboard.py")
    assert heads == started_with(heads, "--modules-to-load=UsageStatsHead --disable-frontend")
    assert listening_addresses(heads) == set()


def test_the_environment_is_as_it_was_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with cluster._environment({"RAY_AUTH_TOKEN": "abc"}, without=("RAY_AUTH_MODE",)):
        assert os.environ["RAY_AUTH_TOKEN"] == "abc"
        assert "RAY_AUTH_MODE" not in os.environ
        os.environ["RAY_AUTH_MODE"] = "token"  # as `ray.init` does
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN" not in os.environ


def nodes(*sizes: tuple[int, int], dead: int = 0) -> list[dict]:
    alive = [{"Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}} for cpus, gpus in sizes]
    return alive + [{"Alive": False, "Resources": {}}] * dead


@pytest.mark.parametrize(
    ("resources", "there", "slots"),
    [
        (Resources(cpu=2), nodes((3, 0), (3, 0)), 2),  # not three: a trial cannot lie across two nodes
        (Resources(cpu=1), nodes((4, 0), (2, 0), dead=3), 6),
        (Resources(cpu=1, gpu=0.25), nodes((0, 0), (16, 2), (2, 2)), 10),
        (Resources(cpu=1, gpu=0.3), nodes((16, 2)), 6),
    ],
)
def test_slots_are_counted_node_by_node(
    resources: Resources, there: list[dict], slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.ray, "nodes", lambda: there)
    assert cluster_slots(resources) == slots


def test_a_trial_that_fits_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.ray, "nodes", lambda: nodes((4, 0), (4, 0)))
    with pytest.raises(UserError, match="a trial needs 1 CPUs and 1 GPUs, but there are 4 and 0"):
        cluster_slots(Resources(gpu=1))
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 2)
    with pytest.raises(UserError, match="a trial needs 4 CPUs"):
        local_slots(Resources(cpu=4), 0)
