"""Measures tables and reports over many records: seconds and peak memory, cold and with the stored frame.

python benchmarks/reporting.py [RECORDS] [FOLDER] [JOB ...]      default 100000 records in a temporary folder

A cold job finds no stored frame. Jobs are repeated as often as they are named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

METHODS = ("source_only", "target_only", "fine_tune", "source_and_target", "lda", "paper", "agsgtl")
PAIRS = ("toy/a_to_b", "toy/b_to_a", "toy/c_to_d", "toy/d_to_c", "toy/e_to_f")
SEEDS = (41, 50, 61, 70, 81, 90, 101, 200, 301, 400)


def make(folder: Path, records: int) -> None:
    """Confirmations of all methods on all pairs, and the rest as search trials of agsgtl and fine_tune."""
    import numpy as np
    from optuna.distributions import FloatDistribution, IntDistribution, distribution_to_json
    from synthetic import write_confirm, write_search

    rng = np.random.default_rng(0)
    space = {
        "loss.entropy": distribution_to_json(FloatDistribution(0.0, 1.0)),
        "adapt.epochs": distribution_to_json(IntDistribution(1, 100)),
    }

    def sample(number: int) -> dict[str, float | int]:
        return {"loss.entropy": number / 1e5, "adapt.epochs": 1 + number % 99}

    for rank, method in enumerate(METHODS):
        for pair in PAIRS:
            write_confirm(folder, method, {s: float(0.5 + 0.03 * rank + rng.normal(0, 0.02)) for s in SEEDS}, pair)
    each = (records - len(METHODS) * len(PAIRS) * len(SEEDS)) // (2 * len(PAIRS))
    for method in ("agsgtl", "fine_tune"):
        for pair in PAIRS:
            scores = rng.normal(0.6, 0.05, each).tolist()
            write_search(folder, method, scores, pair, config=sample, distributions=space)


def measure(what: str, folder: Path) -> None:
    """Runs one command as a user does, and prints what it cost, its own processes included."""
    if what.endswith("cold"):
        shutil.rmtree(folder / "tables", ignore_errors=True)
    started = time.perf_counter()
    command = [sys.executable, "-m", "agsgtl", what.split(maxsplit=1)[0], str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, code, cost = os.wait4(process.pid, 0)
    wall_s, cpu_s = time.perf_counter() - started, cost.ru_utime + cost.ru_stime
    print(
        f"{what:14s} {wall_s:6.1f} s   cpu {cpu_s:6.1f} s   peak {cost.ru_maxrss / 1024:5.0f} MiB   exit {code}",
        flush=True,
    )


def main() -> None:
    """Makes the records and measures."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else temporary) / "many"
        if not folder.exists():
            make(folder, records)
        for what in sys.argv[3:] or ("table cold", "report cold", "report stored", "table stored"):
            measure(what, folder)


if __name__ == "__main__":
    main()
