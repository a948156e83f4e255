"""The ready files of `cluster/`: they parse, switch tokens on, and open nothing that executes code to the network."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

CLUSTER = Path(__file__).parents[1] / "cluster"


def test_the_slurm_script_is_valid_and_keeps_to_its_own_nodes_and_steps() -> None:
    script = CLUSTER / "slurm.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    for option in ("--exclusive", "--signal=B:USR1@120", "--requeue"):
        assert f"#SBATCH {option}\n" in text
    commands = "\n".join(line.partition("#")[0] for line in text.splitlines())
    assert not re.search(r"ray\W+stop|symmetric-run", commands)  # both end every Ray on the host
    assert "export RAY_AUTH_MODE=token" in commands
    assert "--include-dashboard=false" in commands
    starts = re.findall(r'ray" start (?:.*\\\n)*.*', commands)
    assert len(starts) == 2
    assert all('"${ports[@]}"' in start for start in starts)


def test_the_rayjob_has_tokens_and_no_way_in_from_outside() -> None:
    job: dict[str, Any] = yaml.safe_load((CLUSTER / "kuberay-rayjob.yaml").read_text())
    cluster = job["spec"]["rayClusterSpec"]
    assert (job["kind"], cluster["authOptions"]) == ("RayJob", {"mode": "token"})
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [container for group in groups for container in group["template"]["spec"]["containers"]]
    mounts = [[mount["mountPath"] for mount in container["volumeMounts"]] for container in containers]
    assert mounts == [["/shared"]] * len(containers)  # the ledger lies at one path everywhere
    assert "--results /shared/" in job["spec"]["entrypoint"]


def test_the_ray_up_file_starts_every_node_with_the_token() -> None:
    content: dict[str, Any] = yaml.safe_load((CLUSTER / "ray-up.yaml").read_text())
    for commands in (content["head_start_ray_commands"], content["worker_start_ray_commands"]):
        (start,) = [command for command in commands if "ray start" in command]
        assert ". cluster/token.env && " in start
    assert "--include-dashboard=false" in content["head_start_ray_commands"][-1]
    assert content["min_workers"] == content["max_workers"]
