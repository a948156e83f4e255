"""What pruning saves and what it loses: recorded whole curves, replayed under ASHA's rungs and under median stopping.

    python -m benchmarks.pruning

A study is so many recorded trials drawn at random, two at a time, as a sweep on two cores asks them: a trial's cutoffs are
fixed when it is asked, from the trials that had ended by then. The baseline prunes nothing. Printed for each setting: share
of the epochs saved, recall of the true best tenth (by validation at the end), how often the study's best was pruned, and
what its winner lost in validation and in test score against the unpruned winner.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agsgtl.tuning.rungs import Rungs
from benchmarks.recorded import PAIRS, load

Curve = NDArray[np.float64]
Cutoffs = Callable[[Sequence[Curve]], Mapping[int, float]]
"""From the curves of the trials that ended (a pruned one's is cut short): epoch -> the score to reach there."""

CONCURRENCY = 2


@dataclass(frozen=True)
class Replay:
    """One study under one rule, against the same study without it."""

    saved: float
    recall: float
    lost_best: bool
    lost_score: float
    lost_test: float


def asha(grace: float, reduction: int) -> Cutoffs:
    """Our rungs, as `search.scheduler: asha` has them."""
    rungs = Rungs(grace, reduction)

    def cutoffs(ended: Sequence[Curve]) -> Mapping[int, float]:
        epochs = max((len(curve) for curve in ended), default=0)
        at = {fraction: rungs.epoch(fraction, EPOCHS) for fraction in rungs.fractions}
        values = {f: [curve[epoch - 1] for curve in ended if len(curve) >= epoch] for f, epoch in at.items()}
        return rungs.cutoffs_of(values, EPOCHS) if epochs else {}

    return cutoffs


def median(grace: float, startup: int) -> Cutoffs:
    """Below the median of the trials that ran to that epoch, at any epoch from `grace` on, once `startup` ran to it."""

    def cutoffs(ended: Sequence[Curve]) -> Mapping[int, float]:
        first = max(1, int(np.ceil(grace * EPOCHS - 1e-9)))
        found = {}
        for epoch in range(first, EPOCHS):
            known = [curve[epoch - 1] for curve in ended if len(curve) >= epoch]
            if len(known) >= startup:
                found[epoch] = float(np.median(known))
        return found

    return cutoffs


EPOCHS = 15

RULES: Mapping[str, Cutoffs] = {
    **{
        f"asha, grace {grace}, reduction {reduction}": asha(grace, reduction)
        for reduction in (2, 3, 4)
        for grace in (0.1, 0.2, 0.3, 0.5)
    },
    **{f"median, grace {grace}": median(grace, startup=5) for grace in (0.1, 0.2, 0.3, 0.5)},
}


def replay(curves: Sequence[Curve], tests: Sequence[float], rule: Cutoffs) -> Replay:
    """One study, in the order given."""
    ran: list[Curve] = []
    for number, curve in enumerate(curves):
        cutoffs = rule(ran[: max(0, number - CONCURRENCY + 1)])
        stop = next((epoch for epoch in sorted(cutoffs) if curve[epoch - 1] < cutoffs[epoch]), len(curve))
        ran.append(curve[:stop])
    final = np.array([curve[-1] for curve in curves])
    whole = np.array([len(cut) == len(curve) for cut, curve in zip(ran, curves, strict=True)])
    best, kept = int(final.argmax()), int(np.where(whole, final, -np.inf).argmax())
    top = np.argsort(-final, kind="stable")[: max(1, len(curves) // 10)]
    return Replay(
        saved=1 - sum(map(len, ran)) / sum(map(len, curves)),
        recall=float(whole[top].mean()),
        lost_best=not whole[best],
        lost_score=float(final[best] - final[kept]),
        lost_test=float(tests[best] - tests[kept]),
    )


def measure(frame: pd.DataFrame, rule: Cutoffs, trials: int, studies: int) -> list[Replay]:
    """Studies of one pair under one rule; every rule sees the same studies."""
    rng = np.random.default_rng(0)
    curves, tests = [np.array(curve) for curve in frame["curve"]], frame["test"].to_numpy()
    draws = [rng.permutation(len(curves))[:trials] for _ in range(studies)]
    return [replay([curves[i] for i in draw], [tests[i] for i in draw], rule) for draw in draws]


def main() -> int:
    """Prints a line a rule and pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--studies", type=int, default=100)
    arguments = parser.parse_args()
    frame = load()
    frame = frame[frame["curve"].map(len) == EPOCHS]
    print("| rule | pair | epochs saved | recall of the best tenth | best trial pruned | validation lost | test lost |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name, rule in RULES.items():
        for pair in PAIRS:
            found = measure(frame[frame["pair"] == pair], rule, arguments.trials, arguments.studies)
            columns = {key: np.array([getattr(one, key) for one in found]) for key in Replay.__annotations__}
            spread = columns["lost_test"].std(ddof=1) / np.sqrt(len(found))
            print(
                f"| {name} | {pair} | {columns['saved'].mean():.0%} | {columns['recall'].mean():.0%} | "
                f"{columns['lost_best'].mean():.0%} | {columns['lost_score'].mean():.3f} | "
                f"{columns['lost_test'].mean():+.3f} ± {spread:.3f} |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
