"""Checks before a sweep joins a cluster: each broken rule is one line that says what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agsgtl.errors import UserError
from agsgtl.tuning import joining
from agsgtl.tuning.joining import NodeFacts
from agsgtl.tuning.nodeprobe import local_versions, probe_node

OURS = {"agsgtl": "code 1", "python": "3.11", "ray": "2.60.0", "torch": "2.13.0"}
GOOD = NodeFacts("n1 (10.0.0.2-ab)", OURS, "token", None, None)


@pytest.fixture
def shared(tmp_path: Path) -> tuple[Path, dict[str, int]]:
    (tmp_path / "secret").write_text("secret")
    cube = tmp_path / "data" / "abc" / "cube.npy"
    cube.parent.mkdir(parents=True)
    cube.write_bytes(b"12345")
    return tmp_path, {str(cube): 5}


def test_a_good_node_passes_every_check(tmp_path: Path) -> None:
    joining.require_tokens([GOOD], "10.0.0.1:6379")
    joining.require_same_versions([GOOD], OURS)
    joining.require_storage([GOOD], tmp_path)
    joining.require_data([GOOD])


@pytest.mark.parametrize("name", OURS)
def test_another_version_of_anything_is_named_with_its_node(name: str) -> None:
    other = replace(GOOD, versions={**OURS, name: "0.9"})
    with pytest.raises(UserError, match=rf"node n1 .*: has {name} 0.9 instead of {OURS[name]}; install") as error:
        joining.require_same_versions([GOOD, other], OURS)
    assert "\n" not in str(error.value)


def test_a_cluster_without_tokens_is_refused_unless_the_user_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    open_to_all = replace(GOOD, auth_mode="")
    with pytest.raises(UserError, match="runs code for whoever reaches it; start every node with RAY_AUTH_MODE=token"):
        joining.require_tokens([GOOD, open_to_all], "10.0.0.1:6379")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    joining.require_tokens([open_to_all], "10.0.0.1:6379")


def test_storage_that_is_missing_read_only_or_another_is_told_apart(
    shared: tuple[Path, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, files = shared
    said = probe_node("n1", str(folder), "secret", files)
    assert said["storage_error"] is None
    assert (folder / "secret.n1").read_text() == "secret"
    assert (
        "is not seen there (No such file"
        in probe_node("n1", str(folder / "elsewhere"), "secret", files)["storage_error"]
    )
    (folder / "other").write_text("of another cluster")
    assert "another file under the same name" in probe_node("n1", str(folder), "other", files)["storage_error"]

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert (
        "cannot be written there (Permission denied)" in probe_node("n1", str(folder), "secret", files)["storage_error"]
    )


def test_a_file_that_a_node_writes_and_the_driver_does_not_see_is_an_error(tmp_path: Path) -> None:
    facts = joining._with_answer_seen(GOOD, tmp_path / "secret.n1")
    with pytest.raises(UserError, match="gets files there that do not arrive here; put the results on storage"):
        joining.require_storage([facts], tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.unlink(), "cannot be read there"),
        (lambda path: path.write_bytes(b"1"), "has 1 bytes there, 5 here"),
    ],
)
def test_data_that_is_missing_or_cut_short_is_named(
    shared: tuple[Path, dict[str, int]], change: Callable[[Path], None], says: str
) -> None:
    folder, files = shared
    change(Path(next(iter(files))))
    facts = NodeFacts(**probe_node("n1", str(folder), "secret", files))
    with pytest.raises(UserError, match=f"cube.npy {says}"):
        joining.require_data([facts])


def test_the_data_files_are_those_that_workers_map(shared: tuple[Path, dict[str, int]]) -> None:
    folder, files = shared
    assert [str(path) for path in joining.data_files(folder)] == list(files)


def test_a_node_without_agsgtl_and_torch_can_say_so() -> None:
    """The probe needs the standard library alone, and says `none` of what is missing."""
    source = Path(joining.nodeprobe.__file__)
    code = f"import runpy; print(runpy.run_path({str(source)!r})['local_versions']())"
    said = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'agsgtl': 'none'" in said
    assert "'torch': 'none'" in said
    assert local_versions()["torch"] != "none"


@pytest.mark.parametrize("address", ["127.0.0.2:1", "nonsense"])
def test_an_address_where_nobody_answers_is_said_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "CONNECT_S", 0.5)
    with pytest.raises(UserError, match=f"--address {address}: no Ray cluster answers there"):
        joining.require_reachable(address)


def test_ray_client_addresses_are_refused() -> None:
    with pytest.raises(UserError, match="name the cluster's own address"):
        joining.require_reachable("ray://10.0.0.1:10001")
