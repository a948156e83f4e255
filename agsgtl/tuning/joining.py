"""What must hold before a sweep joins a standing cluster; a rule that is broken is one line that says what to do."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled, without stubs
from ray.exceptions import AuthenticationError, GetTimeoutError, RayError, RpcError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from agsgtl.errors import UserError
from agsgtl.tuning import nodeprobe

PROBE_S = 60.0
"""So long a node may take to start a process and answer."""

CONNECT_S = 5.0


@dataclass(frozen=True)
class NodeFacts:
    """What a node said of itself; `node` is its host and address, an error is None where all is well."""

    node: str
    versions: Mapping[str, str]
    auth_mode: str
    storage_error: str | None
    data_error: str | None


def require_reachable(address: str) -> None:
    """Asks the cluster once, since `ray.init` tries for minutes where it is refused.

    Raises:
        UserError: nobody answers, or the token is missing or wrong.
    """
    if address.startswith("ray://"):
        raise UserError(
            f"--address {address}: name the cluster's own address, like 10.0.0.1:6379, and start the sweep on one of its nodes"
        )
    try:
        found = canonicalize_bootstrap_address(address)
        host, _, port = (found or "").rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()  # Ray's client would try for 40 s
        GcsClient(address=found).get_all_node_info(timeout=CONNECT_S)
    except AuthenticationError:
        raise UserError(
            f"--address {address}: the cluster refuses this token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file "
            "with the token that its nodes were started with"
        ) from None
    except (RpcError, OSError, ValueError):
        raise UserError(
            f"--address {address}: no Ray cluster answers there; is its head node up? start one as cluster/README.md says"
        ) from None


def require_joinable(folder: Path, address: str) -> None:
    """Asks every node of the cluster that Ray is connected to what it runs and sees.

    Args:
        folder: the experiment's results, with the pairs unpacked.
        address: of the cluster, for messages.

    Raises:
        UserError: the first broken rule, with the node it is broken on.
    """
    nodes = ask_nodes(folder)
    require_tokens(nodes, address)
    require_same_versions(nodes, nodeprobe.local_versions())
    require_storage(nodes, folder)
    require_data(nodes)


def ask_nodes(folder: Path, timeout_s: float = PROBE_S) -> list[NodeFacts]:
    """What every node that is alive says of itself.

    Raises:
        UserError: a node does not answer.
    """
    meeting, secret = folder / ".joining", uuid.uuid4().hex
    meeting.mkdir(parents=True, exist_ok=True)
    (meeting / secret).write_text(secret)
    files = {str(path): path.stat().st_size for path in data_files(folder)}
    probe = _probe_by_value()
    try:
        addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        names = {node: f"{address}-{node[:8]}" for node, address in addresses.items()}
        answers = {
            name: probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                name, str(meeting), secret, files
            )
            for node, name in names.items()
        }
        return [
            _with_answer_seen(_answer_of(name, answer, timeout_s), meeting / f"{secret}.{name}")
            for name, answer in answers.items()
        ]
    finally:
        shutil.rmtree(meeting, ignore_errors=True)


def data_files(folder: Path) -> list[Path]:
    """The files of the unpacked pairs, which every worker maps."""
    return sorted([*folder.glob("data/*/cube.npy"), *folder.glob("pairs/*.npz")])


def require_tokens(nodes: Iterable[NodeFacts], address: str) -> None:
    """Refuses a cluster that takes code from anybody, unless the user has said RAY_AUTH_MODE=disabled."""
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return
    for facts in nodes:
        if facts.auth_mode not in ("token", "k8s"):
            raise UserError(
                f"--address {address}: node {facts.node} runs code for whoever reaches it; start every node with RAY_AUTH_MODE=token "
                "(cluster/README.md), or set RAY_AUTH_MODE=disabled here to join all the same"
            )


def require_same_versions(nodes: Iterable[NodeFacts], ours: Mapping[str, str]) -> None:
    """Refuses nodes that would compute something else."""
    for facts in nodes:
        differing = [
            f"{name} {facts.versions.get(name, 'none')} instead of {value}"
            for name, value in ours.items()
            if facts.versions.get(name) != value
        ]
        if differing:
            raise UserError(
                f"cluster node {facts.node}: has {', '.join(differing)}; install this checkout there with `make install`, or use one "
                "environment on the shared storage"
            )


def require_storage(nodes: Iterable[NodeFacts], folder: Path) -> None:
    """Refuses nodes that do not share the results folder."""
    for facts in nodes:
        if facts.storage_error:
            raise UserError(
                f"cluster node {facts.node}: {folder} {facts.storage_error}; put the results on storage that every node mounts at the "
                "same path and may write, and name it with --results"
            )


def require_data(nodes: Iterable[NodeFacts]) -> None:
    """Refuses nodes that cannot read the cubes."""
    for facts in nodes:
        if facts.data_error:
            raise UserError(
                f"cluster node {facts.node}: {facts.data_error}; let the user that runs Ray there read it, or mount the storage anew"
            )


def _probe_by_value() -> Any:
    """The probe as a Ray task that a node without agsgtl can run too."""
    module = sys.modules[nodeprobe.__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        probe = cloudpickle.loads(cloudpickle.dumps(nodeprobe.probe_node))
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    return ray.remote(num_cpus=0, max_retries=0)(probe)


def _answer_of(name: str, answer: Any, timeout_s: float) -> NodeFacts:
    try:
        return NodeFacts(**ray.get(answer, timeout=timeout_s))
    except (GetTimeoutError, RayError) as error:
        kind = (
            "did not answer in time"
            if isinstance(error, GetTimeoutError)
            else f"cannot run a task ({str(error).splitlines()[0]})"
        )
        raise UserError(f"cluster node {name}: {kind}; see `ray status`, and stop the node or start it again") from None


def _with_answer_seen(facts: NodeFacts, file: Path) -> NodeFacts:
    """The facts, with an error where the node's own file does not reach the driver."""
    if facts.storage_error or file.exists():
        return facts
    return NodeFacts(
        facts.node, facts.versions, facts.auth_mode, "gets files there that do not arrive here", facts.data_error
    )
