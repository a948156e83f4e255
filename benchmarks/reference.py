"""Packs finished experiments into `results/reference/`: what their tables are made of, and the tables, figures and reports.

    python -m benchmarks.reference results/indian_pines [results/OTHER ...]

Weights, cubes and class maps stay behind: they are large, and `agsgtl explain` gives the commands that make them again.
What is packed is a ledger: copied back to `results/`, a sweep that had not ended goes on from it, on another machine too, and an
experiment can name it as `confirm.winners`. Figures and reports are copied as `agsgtl figures` and `agsgtl report` left them.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

REFERENCE: Final = Path(__file__).resolve().parent.parent / "results" / "reference"
LEDGER: Final = ("experiment.yaml", "vault.jsonl", "vault.head", "report.html")
"""Files of an experiment's folder itself."""
RECORD: Final = ("ask.json", "progress.jsonl", "record.json", "scores.json")
"""Files of a trial."""
TABLES: Final = (".md", ".csv", ".tex")
"""Kinds of tables that are kept."""
PICTURES: Final = ("map_", "curves_", "importances_", "ranks_")
"""Figures that are kept, as PNG; the report holds some of the others, `agsgtl figures` makes them all."""


def packed_files(results: Path) -> Iterator[Path]:
    """The files of an experiment that are kept, in the order of their paths."""
    for path in sorted(path for path in results.rglob("*") if path.is_file()):
        inside = path.relative_to(results)
        is_own = len(inside.parts) == 1 and inside.name in LEDGER
        is_record = inside.name in RECORD
        is_table = inside.parts[0] == "tables" and inside.suffix in TABLES
        is_picture = inside.suffix == ".png" and inside.name.startswith(PICTURES)
        if is_own or is_record or is_table or is_picture:
            yield path


def pack(results: Path, reference: Path = REFERENCE) -> int:
    """Puts an experiment's kept files in the place of those packed before; how many bytes they have."""
    if not (results / "experiment.yaml").exists():
        raise SystemExit(f"{results}: holds no experiment.yaml; name a folder that `agsgtl sweep` wrote")
    goal = reference / results.name
    if goal.exists():
        shutil.rmtree(goal)
    size = 0
    for path in packed_files(results):
        to = goal / path.relative_to(results)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
        size += path.stat().st_size
    return size


def main() -> None:
    """Packs the folders that are named."""
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    for argument in sys.argv[1:]:
        print(f"{argument}: {pack(Path(argument)) / 2**20:.1f} MiB in {REFERENCE}")


if __name__ == "__main__":
    main()
