"""What a sweep adds to its trainings: seconds between one trial's end and the next one's start on the same worker.

    python -m benchmarks.overhead

A sweep of tiny trials on reused actors; the first trial of each worker, which pays for its start, is left out.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from agsgtl.reporting.ledger import Ledger
from agsgtl.tuning.sweep import sweep

EXPERIMENT = """
name: overhead
pairs: [indian_pines/west_to_east]
trial:
  model.width: 4
  model.discriminator_width: 4
  pretrain.epochs: 1
  adapt.epochs: 1
  adapt.discriminator_steps: 1
  adapt.target_steps: 1
search: {spaces: {fine_tune: space.yaml}, trials: 30, seeds: [0], sampler: random, scheduler: none}
confirm: {methods: [fine_tune], seeds: [41]}
"""
SPACE = "adapt.target_learning_rate: {type: float, low: 1e-4, high: 1e-2, log: true}\n"
LIMIT_S = 0.3


def gaps(ledger: Ledger) -> list[float]:
    """Seconds between consecutive trials of each worker's process."""
    by_process: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for folder in ledger.trials("fine_tune/indian_pines/west_to_east/10"):
        record = folder.record()
        assert record is not None
        by_process[record.cost.process].append((record.cost.started_at, record.cost.ended_at))
    spans = [sorted(spans) for spans in by_process.values()]
    return [later[0] - earlier[1] for span in spans for earlier, later in pairwise(span)]


def main() -> int:
    """Prints the overhead; exit code 1 where its median misses the limit."""
    with tempfile.TemporaryDirectory(prefix="agsgtl-overhead-") as name:
        folder = Path(name)
        (folder / "overhead.yaml").write_text(EXPERIMENT)
        (folder / "space.yaml").write_text(SPACE)
        started = time.monotonic()
        end = sweep(folder / "overhead.yaml", folder / "results")
        whole_s = time.monotonic() - started
        found = sorted(gaps(end.ledger))
    median = statistics.median(found)
    print(
        f"{len(found)} gaps: median {median:.3f} s, from {found[0]:.3f} to {found[-1]:.3f} s; the whole sweep {whole_s:.1f} s"
    )
    return 0 if median < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
