"""The comparison of extents: a seed is one observation over all pairs, and one that lacks a pair is left out there."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import write_confirm

from benchmarks import extent


def test_over_all_pairs_the_interval_is_that_of_the_seeds_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, pair in enumerate(extent.PAIRS):
        gains = {1: 0.1 * (number - 2), 2: 0.01 + 0.1 * (number - 2), 3: 0.02}  # by pairs far apart, by seeds not
        if number == 0:
            del gains[3]
        name = f"indian_pines/{pair}"
        write_confirm(tmp_path / "scene", "agsgtl", dict.fromkeys(gains, 0.5), name, per_class=10)
        write_confirm(tmp_path / "windows", "agsgtl", {seed: 0.5 + g for seed, g in gains.items()}, name, per_class=10)
    extent.compare(tmp_path, "windows")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("| all | 2 | 0.500 |")
    assert "| +0.005 (-0.059 to +0.069) |" in lines[-1]  # (0, .01): half its difference times t(.975, 1) = 12.706
    assert [line.split(" | ")[1] for line in lines[3:8]] == ["2", "3", "3", "3", "3"]
