from __future__ import annotations

import os
from pathlib import Path

import pytest

from agsgtl.tuning.cpus import usable_cpus

V2 = "0::/a/b\n"
V1 = "5:memory:/a\n4:cpu,cpuacct:/a\n"


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("membership", "files", "cpus"),
    [
        (V2, {}, 8),
        (V2, {"cpu.max": "max 100000"}, 8),
        (V2, {"cpu.max": "200000 100000"}, 2),
        (V2, {"a/b/cpu.max": "250000 100000"}, 2),
        (V2, {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        (V2, {"cpu.max": "50000 100000"}, 1),
        (V2, {"cpu.max": "9900000 100000"}, 8),
        (V2, {"cpu.max": "torn"}, 8),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        (V1, {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        (V1, {"cpu/a/cpu.cfs_quota_us": "150000", "cpu/a/cpu.cfs_period_us": "50000"}, 3),
        (V1, {"memory/a/cpu.max": "100000 100000"}, 8),
        (None, {"cpu.max": "200000 100000"}, 2),
    ],
)
def test_a_quota_of_the_cpus_time_counts(
    tmp_path: Path, membership: str | None, files: dict[str, str], cpus: int
) -> None:
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(f"{text}\n")
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    assert usable_cpus(tmp_path / "groups", tmp_path / "membership") == cpus
