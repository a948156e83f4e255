"""Recorded trials: random configurations of `agsgtl` with whole curves, so that searches can be replayed in minutes.

    agsgtl sweep benchmarks/recording/recorded.yaml && agsgtl evaluate results/recorded --trials
    agsgtl sweep benchmarks/recording/recorded_seeds.yaml && agsgtl evaluate results/recorded_seeds --trials
    python -m benchmarks.recorded results/recorded results/recorded_seeds     # packs them into benchmarks/data

A row of the frame is one training: pair, number (the configuration), seed, every hyperparameter of the search space,
`score` (validation), `test` (macro F1 on the test pool, opened after the decision), `cpu_s`, and `curve`, the score after each
epoch (empty where a trial had two seeds: its curve is their mean).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from agsgtl.reporting.ledger import Ledger

FILE = Path(__file__).parent / "data" / "recorded.parquet"
PAIRS = ("west_to_east", "south_to_north")


def load(file: Path = FILE) -> pd.DataFrame:
    """The recorded trainings."""
    return pd.read_parquet(file)


def pack(results: list[Path], file: Path = FILE) -> pd.DataFrame:
    """Collects the complete trials of some results folders into one small file."""
    frame = pd.DataFrame([row for folder in results for row in _rows(Ledger(folder))])
    file.parent.mkdir(exist_ok=True)
    frame.to_parquet(file, compression="zstd", index=False)
    return frame


def _rows(ledger: Ledger) -> Iterator[dict[str, Any]]:
    for study in ledger.studies():
        for folder in ledger.trials(study):
            ask, record = folder.ask(), folder.record()
            if ask is None or record is None or record.status != "complete":
                continue
            curve = [round(line["score"], 5) for line in folder.progress()] if len(record.outcomes) == 1 else []
            scores = folder.scores() or (None,) * len(record.outcomes)
            for outcome, score in zip(record.outcomes, scores, strict=True):
                yield {
                    "pair": record.identity.pair.removesuffix("_50_bands"),
                    "number": record.identity.number,
                    "seed": outcome.seeds.labels,
                    **ask.sampled,
                    "score": outcome.score,
                    "test": score.macro_f1 if score else None,
                    "cpu_s": record.cost.cpu_s / len(record.outcomes),
                    "curve": curve,
                }


def main() -> int:
    """Packs the results folders that are named, and counts what is in the file."""
    if len(sys.argv) > 1:
        pack([Path(name) for name in sys.argv[1:]])
    frame = load()
    for (pair, seed), trainings in frame.groupby(["pair", "seed"]):
        print(
            f"{pair}, seed {seed}: {len(trainings)} trainings, validation {trainings['score'].median():.3f} (median) to "
            f"{trainings['score'].max():.3f}, test known for {trainings['test'].notna().sum()}, rank correlation of the two "
            f"{trainings['score'].corr(trainings['test'], method='spearman'):.2f}, {trainings['cpu_s'].median():.1f} s each"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
