from __future__ import annotations

import errno
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from agsgtl.durable import NotWritable
from agsgtl.errors import UserError
from agsgtl.training import checkpoint


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    tensors = {"weight": torch.arange(6.0).reshape(2, 3).T, "steps": torch.tensor(3)}
    checkpoint.save(tmp_path / "one.safetensors", tensors, {"epoch": 2})
    found, facts = checkpoint.load(tmp_path / "one.safetensors")
    assert facts == {"epoch": 2}
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_an_end_that_a_power_cut_left_as_zeros_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "last.safetensors"
    checkpoint.save(file, {"weight": torch.ones(1000)}, {"epoch": 1})
    content = file.read_bytes()
    file.write_bytes(content[:-400] + bytes(400))
    with pytest.raises(UserError, match=r"last\.safetensors: is no checkpoint of ours \(its numbers are not those"):
        checkpoint.load(file)


def test_a_file_that_the_system_does_not_open_just_now_is_not_called_damaged(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.safetensors", {"weight": torch.zeros(2)}, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            checkpoint.load(tmp_path / "a.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(UserError, match="is no checkpoint of ours"):
        checkpoint.load(tmp_path / "missing.safetensors")


def test_a_file_from_before_checksums_is_read(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(3)}, tmp_path / "old.safetensors", {"facts": '{"epoch": 1}'})
    assert checkpoint.load(tmp_path / "old.safetensors")[1] == {"epoch": 1}


def test_a_full_disk_is_no_error_of_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path / "last.safetensors", {"weight": torch.ones(2)}, {"epoch": 1})

    def fill(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", fill)
        with pytest.raises(NotWritable, match=r"last\.safetensors: cannot be written: No space left on device"):
            checkpoint.save(tmp_path / "last.safetensors", {"weight": torch.zeros(2)}, {"epoch": 2})
    assert checkpoint.load(tmp_path / "last.safetensors")[1] == {"epoch": 1}
