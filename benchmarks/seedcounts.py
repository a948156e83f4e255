"""How many seeds a trial should train on: the regret of the final pick at equal compute, from recorded trials.

    python -m benchmarks.seedcounts

The configurations that were recorded on three seeds are drawn in a random order, and a budget of trainings is spent on them:
on as many as it reaches with 1, 2 or 3 seeds each, or with one seed each and two more for the best few only. The pick is the
best by mean validation score over the seeds that it has; its regret is what its mean test score over all three
seeds lacks of the best one's among all configurations.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.recorded import PAIRS, load

SEEDS = 3
Scores = NDArray[np.float64]
Pick = Callable[[Scores, int], int]
"""From validation scores (configurations in the order asked, seeds) and a budget of trainings: the configuration picked."""


def all_alike(seeds: int) -> Pick:
    """The same number of seeds for every configuration that the budget reaches."""

    def pick(scores: Scores, budget: int) -> int:
        return int(scores[: budget // seeds, :seeds].mean(axis=1).argmax())

    return pick


def finalists(count: int) -> Pick:
    """One seed for all, the others for the best `count` only; one of those is picked, by its mean."""

    def pick(scores: Scores, budget: int) -> int:
        first = scores[: budget - count * (SEEDS - 1), 0]
        best = np.argsort(-first, kind="stable")[:count]
        return int(best[scores[best].mean(axis=1).argmax()])

    return pick


PICKS: Mapping[str, Pick] = {
    "1 seed": all_alike(1),
    "2 seeds": all_alike(2),
    "3 seeds": all_alike(3),
    "1 seed, 2 more for the best 3": finalists(3),
    "1 seed, 2 more for the best 5": finalists(5),
}


def main() -> int:
    """Prints the rank correlations of validation and test, and a line a rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=40)
    parser.add_argument("--draws", type=int, default=2000)
    arguments = parser.parse_args()
    frame = load()
    tables = {pair: _tables(frame[frame["pair"] == pair]) for pair in PAIRS}
    for pair, (scores, tests) in tables.items():
        ranks = [spearmanr(scores[:, :n].mean(axis=1), tests.mean(axis=1)).statistic for n in (1, 2, 3)]
        said = ", ".join(f"{rank:.2f} with {n}" for n, rank in enumerate(ranks, start=1))
        print(
            f"{pair}: {len(scores)} configurations; rank correlation of mean validation (seeds) and mean test: {said}"
        )
    print(f"\n| {arguments.budget} trainings | {' | '.join(PAIRS)} |\n|---|{'---:|' * len(PAIRS)}")
    for name, pick in PICKS.items():
        cells = [_cell(_regrets(*table, pick, arguments.budget, arguments.draws)) for table in tables.values()]
        print(f"| {name} | {' | '.join(cells)} |")
    return 0


def _tables(trials: pd.DataFrame) -> tuple[Scores, Scores]:
    wide = trials.pivot(index="number", columns="seed", values=["score", "test"]).dropna()
    return wide["score"].to_numpy(), wide["test"].to_numpy()


def _regrets(scores: Scores, tests: Scores, pick: Pick, budget: int, draws: int) -> Scores:
    rng, worth, found = np.random.default_rng(0), tests.mean(axis=1), []
    for _ in range(draws):
        order, seeds = rng.permutation(len(scores)), rng.permutation(SEEDS)
        found.append(worth.max() - worth[order[pick(scores[np.ix_(order, seeds)], budget)]])
    return np.array(found)


def _cell(regrets: Scores) -> str:
    return f"{regrets.mean():.3f} ± {regrets.std(ddof=1):.3f}"


if __name__ == "__main__":
    sys.exit(main())
