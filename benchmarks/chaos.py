"""Kills a small real sweep's driver and workers at random moments, restarts it, and checks that nothing was lost.

    python -m benchmarks.chaos --kills 6 --seed 0

The sweep (`order: fixed`) runs once undisturbed and once under fire. Exit code 1 if a trial was lost or written twice,
or if the two tables differ in one byte.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from processes import descendants

from agsgtl.reporting.ledger import Ledger, TrialFolder
from agsgtl.tuning.searcher import DEATHS

EXPERIMENT = """
name: chaos
pairs: [indian_pines/west_to_east]
trial:
  {model.width: 4, model.discriminator_width: 4, pretrain.epochs: 4, adapt.epochs: 6, adapt.discriminator_steps: 2, adapt.target_steps: 2}
search: {spaces: {agsgtl: space.yaml, fine_tune: space.yaml}, trials: 6, startup_trials: 2}
confirm: {methods: [source_only, lda, fine_tune, agsgtl], seeds: [41, 50]}
"""
SPACE = "adapt.target_learning_rate: {type: float, low: 1e-4, high: 1e-2, log: true}\n"
LONGEST_LIFE_S = 25.0
"""A driver is shot at most so long after it was started: past Ray's start, before the end of the sweep."""


@dataclass
class Watch:
    """The inode of every record when it was first seen: a record written twice has another."""

    ledger: Ledger
    inodes: dict[Path, int] = field(default_factory=dict)
    rewritten: set[Path] = field(default_factory=set)

    def look(self) -> None:
        """Notes new records and compares the old ones."""
        for path in self.ledger.path.glob("**/record.json"):
            inode = path.stat().st_ino
            if self.inodes.setdefault(path, inode) != inode:
                self.rewritten.add(path)


def folders(ledger: Ledger) -> list[TrialFolder]:
    """Every trial and confirmation that was asked."""
    return [
        TrialFolder(path.parent) for path in sorted(ledger.path.glob("**/ask.json")) if "superseded" not in path.parts
    ]


def start(folder: Path, results: Path) -> subprocess.Popen[str]:
    """A driver in a process of its own."""
    command = [sys.executable, "-m", "agsgtl", "sweep", str(folder / "chaos.yaml"), "--results", str(results)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def workers(driver: subprocess.Popen[str], ledger: Ledger) -> list[int]:
    """The processes of trials that have started and not ended, all of them the driver's own.

    A trial that loses its worker `DEATHS` times without an epoch of progress is given up, as it should be: none is shot
    at so often.
    """
    ours, found = descendants(driver.pid), []
    for folder in folders(ledger):
        deaths = sum(failure["reason"] == "node_lost" for failure in folder.failures())
        if folder.attempts() and not folder.has_record() and deaths < DEATHS - 1:
            found.append(int(folder.attempts()[-1]["process"]))
    return [process for process in found if process in ours]


def shoot(driver: subprocess.Popen[str], ledger: Ledger, watch: Watch, dice: random.Random) -> str | None:
    """Kills the driver or a worker at a random moment; what was hit, or None where the sweep ended first."""
    end = time.monotonic() + dice.uniform(0.5, LONGEST_LIFE_S)
    while time.monotonic() < end:
        watch.look()
        if driver.poll() is not None:
            return None
        time.sleep(0.05)
    targets = workers(driver, ledger)
    if targets and dice.random() < 0.5:
        try:
            os.kill(dice.choice(targets), signal.SIGKILL)
        except ProcessLookupError:
            return "nobody: the worker had just ended"
        return "a worker"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    return "the driver"


def under_fire(folder: Path, kills: int, dice: random.Random) -> tuple[str, Watch, int]:
    """The table of a sweep that was shot at so often, what was seen of its records, and how many shots hit."""
    ledger = Ledger(folder / "fire" / "chaos")
    watch, hits = Watch(ledger), 0
    driver = start(folder, folder / "fire")
    while hits < kills:
        hit = shoot(driver, ledger, watch, dice)
        if hit is None:
            break
        hits += hit != "nobody: the worker had just ended"
        print(f"  shot {hits} of {kills}: {hit}; {len(watch.inodes)} records", flush=True)
        if driver.poll() is not None:
            driver = start(folder, folder / "fire")
    table, said = driver.communicate()
    if driver.returncode != 0:
        print(f"the last driver ended with {driver.returncode}: {said[-2000:]}")
    watch.look()
    return table, watch, hits


def verdict(table: str, expected: str, watch: Watch) -> list[str]:
    """What went wrong; nothing where the promise was kept."""
    asked = folders(watch.ledger)
    problems = [f"asked and never recorded: {folder.path}" for folder in asked if not folder.has_record()]
    problems += [
        f"recorded and never asked: {path}" for path in watch.inodes if not (path.parent / "ask.json").exists()
    ]
    problems += [f"written twice: {path}" for path in sorted(watch.rewritten)]
    problems += [f"lost: {path}" for path in watch.inodes if not path.exists()]
    if table != expected:
        problems.append("the tables differ")
    return problems


def main() -> int:
    """Runs both sweeps and compares them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agsgtl-chaos-") as name:
        folder = Path(name)
        (folder / "chaos.yaml").write_text(EXPERIMENT)
        (folder / "space.yaml").write_text(SPACE)
        started = time.monotonic()
        expected, said = start(folder, folder / "calm").communicate()
        print(f"undisturbed: {time.monotonic() - started:.0f} s; {said.strip().splitlines()[-1]}", flush=True)
        table, watch, hits = under_fire(folder, arguments.kills, random.Random(arguments.seed))
        problems = verdict(table, expected, watch)
        asks = len(folders(watch.ledger))
    for problem in problems:
        print(problem)
    twice = len(watch.rewritten)
    print(
        f"{hits} kills, {asks} asks, {len(watch.inodes)} records, {twice} written twice, tables identical: {table == expected}"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
