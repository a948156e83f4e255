"""Which sampler finds the best configuration of our own method in how many trials, without training for days.

    python -m benchmarks.samplers                      # on a surrogate of the recorded trials
    python -m benchmarks.samplers --choices FOLDER     # also writes each sampler's choices as experiments to run for real
    python -m benchmarks.samplers --confirmed FOLDER RESULTS      # what became of them: `sweep`, `evaluate --trials` before

A random forest, one a pair, is fitted to the recorded configurations (`benchmarks.recorded`): validation score and test score.
A search asks as a sweep's study does (a fresh sampler an ask, two trials at a time) and sees the forest's validation score plus
noise: as much as the mean over two seeds has, by the configurations that were recorded on three. What counts is what
its best-seen configuration is worth without noise. The real runs are the judge: `--choices`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold, cross_val_predict

from agsgtl.config import Value
from agsgtl.seeds import derive_seed
from agsgtl.training.methods import METHODS
from agsgtl.tuning.samplers import SamplerName, sampler_for_ask
from agsgtl.tuning.space import SearchSpace, load_space
from agsgtl.yamlfile import read_yaml, write_yaml
from benchmarks.recorded import PAIRS, load, pack

CHECKPOINTS = (10, 20, 40, 80)
CONCURRENCY = 2
STARTUP_TRIALS = 10
CONFIRMED_SEARCHES, CONFIRMED_AT = 3, 40
"""The choices of so many searches a way and pair, after so many trials, are trained for real."""

SPACE = Path(__file__).parent.parent / "search_spaces" / "losses.yaml"

GUESS: dict[str, Value] = {
    "loss.adversarial": 1.0,
    "loss.target_segmentation": 10.0,
    "loss.entropy": 0.01,
    "loss.unlabelled_adversarial": 0.01,
    "adapt.target_learning_rate": 1e-3,
    "adapt.discriminator_learning_rate": 1e-3,
    "adapt.discriminator_steps": 2,
    "adapt.keep": "best_validation",
}
"""What one would enqueue by hand: our terms beside the authors' in round numbers, the middle of both rates."""


WAYS: Mapping[str, tuple[SamplerName, bool, bool]] = {
    "random": ("random", False, False),
    "tpe": ("tpe", False, False),
    "tpe_multivariate": ("tpe_multivariate", False, False),
    "gp": ("gp", False, False),
    "cmaes": ("cmaes", False, False),
    "nsga2": ("nsga2", False, False),
    "tpe, enqueue": ("tpe", True, False),
    "tpe, warm start": ("tpe", False, True),
}
"""Ways to search: the sampler, whether GUESS is enqueued, whether the other pair's best are asked first."""


class Surrogate:
    """Validation and test score of a configuration on one pair, as a forest learnt them from recorded trials."""

    def __init__(self, trials: pd.DataFrame, space: SearchSpace, noise: float) -> None:
        self.space, self.noise = space, noise
        inputs, targets = self._encoded(trials), trials[["score", "test"]].to_numpy()
        folds = KFold(10, shuffle=True, random_state=0)
        predicted = cross_val_predict(_forest(), inputs, targets, cv=folds)
        self.trials = len(trials)
        self.rank_correlations = [pd.Series(predicted[:, i]).corr(pd.Series(targets[:, i]), "spearman") for i in (0, 1)]
        self.residual = float((predicted[:, 0] - targets[:, 0]).std(ddof=1))
        self.trees = _Trees(_forest().fit(inputs, targets))

    def __call__(self, settings: Mapping[str, Value]) -> tuple[float, float]:
        """Validation and test score without noise."""
        validation, test = self.trees.predict(self._encoded(pd.DataFrame([settings]))[0])
        return float(validation), float(test)

    def _encoded(self, settings: pd.DataFrame) -> NDArray[np.float64]:
        columns = [_numbers(settings[path], distribution) for path, distribution in self.space.distributions.items()]
        return np.column_stack(columns)


def _numbers(values: pd.Series[Any], distribution: optuna.distributions.BaseDistribution) -> NDArray[np.float64]:
    """A hyperparameter's values as a forest takes them: choices by their place, a logarithmic range by its logarithm."""
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return values.map(distribution.choices.index).to_numpy(float)
    assert isinstance(distribution, optuna.distributions.FloatDistribution | optuna.distributions.IntDistribution)
    numbers = values.to_numpy(float)
    return np.log(numbers) if distribution.log else numbers


def noise_of(trainings: pd.DataFrame, seeds: int = 2) -> float:
    """The sd that the mean validation score over so many seeds has, beyond what a seed does to all configurations alike."""
    scores = trainings.pivot(index="number", columns="seed", values="score").dropna().to_numpy()
    rest = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    freedom = (scores.shape[0] - 1) * (scores.shape[1] - 1)
    return float(np.sqrt((rest**2).sum() / freedom / seeds))


class _Trees:
    """A fitted forest as arrays (trees, nodes): one configuration takes a tenth of a millisecond, not twenty."""

    def __init__(self, forest: RandomForestRegressor) -> None:
        trees = [estimator.tree_ for estimator in forest.estimators_]
        nodes = max(tree.node_count for tree in trees)
        self.depth = max(tree.max_depth for tree in trees)
        self.left, self.right, self.feature = (np.zeros((len(trees), nodes), np.int64) for _ in range(3))
        self.threshold, self.values = np.zeros((len(trees), nodes)), np.zeros((len(trees), nodes, 2))
        for row, tree in enumerate(trees):
            count, is_leaf, itself = tree.node_count, tree.children_left < 0, np.arange(tree.node_count)
            self.left[row, :count] = np.where(is_leaf, itself, tree.children_left)
            self.right[row, :count] = np.where(is_leaf, itself, tree.children_right)
            self.feature[row, :count] = np.where(is_leaf, 0, tree.feature)
            self.threshold[row, :count], self.values[row, :count] = tree.threshold, tree.value[:, :, 0]

    def predict(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of the leaves' values, (outputs,), at one encoded configuration."""
        rows, node = np.arange(len(self.left)), np.zeros(len(self.left), np.int64)
        inputs = inputs.astype(np.float32)  # as scikit-learn does
        for _ in range(self.depth):
            goes_left = inputs[self.feature[rows, node]] <= self.threshold[rows, node]
            node = np.where(goes_left, self.left[rows, node], self.right[rows, node])
        return self.values[rows, node].mean(axis=0)  # type: ignore[no-any-return]


@dataclass
class Search:
    """What a search asked, what it saw, and what that is worth without noise."""

    settings: list[dict[str, Value]] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    worth: list[tuple[float, float]] = field(default_factory=list)

    def best(self, trials: int) -> int:
        """The trial that a search of so many trials would choose."""
        return int(np.argmax(self.seen[:trials]))


def search(
    surrogate: Surrogate, sampler: SamplerName, seed: int, starts: Sequence[Mapping[str, Value]], trials: int
) -> Search:
    """One search; two trials run at a time, so an ask knows all trials but the last."""
    study, found, noise = optuna.create_study(direction="maximize"), Search(), np.random.default_rng([seed, 7])
    for number in range(trials):
        if number >= CONCURRENCY:
            study.tell(number - CONCURRENCY, found.seen[number - CONCURRENCY])
        study.sampler = sampler_for_ask(sampler, STARTUP_TRIALS, seed, "benchmark", number)
        if number < len(starts):
            study.enqueue_trial(dict(starts[number]))
        settings = study.ask(dict(surrogate.space.distributions)).params
        worth = surrogate(settings)
        found.settings.append(settings)
        found.worth.append(worth)
        found.seen.append(worth[0] + surrogate.noise * noise.standard_normal())
    return found


def best_elsewhere(trials: pd.DataFrame, space: SearchSpace, count: int = 5) -> list[dict[str, Value]]:
    """What `search.warm_start` would take from another pair's first 40 recorded trials: the best by validation score."""
    best = trials.sort_values("number").head(40).sort_values("score", ascending=False).head(count)
    return [{path: _plain(row[path]) for path in space.distributions} for _, row in best.iterrows()]


def write_choices(folder: Path, choices: Mapping[str, Sequence[Mapping[str, Value]]]) -> None:
    """An experiment for each pair that trains every choice on fresh seeds: `agsgtl sweep`, then `evaluate --trials`."""
    recording = Path(__file__).parent / "recording"
    folder.mkdir(parents=True, exist_ok=True)
    template = read_yaml(recording / "recorded.yaml")
    for pair, settings in choices.items():
        content = template | {"name": f"choices_{pair}", "pairs": [str((recording / f"{pair}.yaml").resolve())]}
        content["search"] = {
            **template["search"],
            **{"trials": len(settings), "seeds": [41, 50], "enqueue": [dict(one) for one in settings]},
        }
        content["confirm"] = template["confirm"] | {"seeds": [61]}  # 41 and 50 are the search's here
        (folder / f"choices_{pair}.yaml").write_text(write_yaml(content))


def print_confirmed(folder: Path, results: Path) -> None:
    """The real test scores of the choices, by way to search: mean over searches and seeds, and their spread."""
    made = pack([results / f"choices_{pair}" for pair in PAIRS], folder / "confirmed.parquet")
    each = made.groupby(["pair", "number"])["test"].mean().rename("test").reset_index()
    chosen = pd.read_csv(folder / "choices.csv").merge(each, on=["pair", "number"])
    table = chosen.groupby(["search", "pair"], sort=False)["test"].agg(["mean", "std", "count"]).reset_index()
    print("| search | pair | test of the real runs | searches |\n|---|---|---:|---:|")
    for _, row in table.iterrows():
        print(f"| {row['search']} | {row['pair']} | {row['mean']:.3f} ± {row['std']:.3f} | {row['count']} |")


def main() -> int:
    """Prints the surrogates' quality and a line a way to search and pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=WAYS, metavar="SEARCH")
    parser.add_argument("--choices", type=Path)
    parser.add_argument("--confirmed", type=Path, nargs=2)
    arguments = parser.parse_args()
    if arguments.confirmed:
        print_confirmed(*arguments.confirmed)
        return 0
    space, frame = load_space(SPACE, METHODS["agsgtl"]), load()
    recorded = {pair: frame[(frame["pair"] == pair) & (frame["seed"] == 0)] for pair in PAIRS}
    noises = {pair: noise_of(frame[frame["pair"] == pair]) for pair in PAIRS}
    surrogates = {pair: Surrogate(trials, space, noises[pair]) for pair, trials in recorded.items()}
    for pair, surrogate in surrogates.items():
        validation, test = surrogate.rank_correlations
        print(
            f"{pair}: {surrogate.trials} recorded configurations; cross-validated rank correlation {validation:.2f} "
            f"(validation), {test:.2f} (test), residual sd {surrogate.residual:.3f}; noise of a search's score {surrogate.noise:.3f}"
        )
    print(f"\n| search | pair | {' | '.join(f'{count} trials' for count in CHECKPOINTS)} | test at {CHECKPOINTS[-1]} |")
    print("|---|---|---:|---:|---:|---:|---:|")
    choices: dict[str, list[dict[str, Value]]] = {pair: [] for pair in PAIRS}
    labels: list[dict[str, Any]] = []
    for name, (sampler, is_enqueued, is_warm) in WAYS.items():
        if arguments.only and name not in arguments.only:
            continue
        for pair, other in zip(PAIRS, reversed(PAIRS), strict=True):
            starts = [GUESS] * is_enqueued + (best_elsewhere(recorded[other], space) if is_warm else [])
            seeds = [derive_seed(seed, "search") for seed in range(arguments.seeds)]
            found = [search(surrogates[pair], sampler, seed, starts, CHECKPOINTS[-1]) for seed in seeds]
            cells = [_cell([one.worth[one.best(count)][0] for one in found]) for count in CHECKPOINTS]
            tests = _cell([one.worth[one.best(CHECKPOINTS[-1])][1] for one in found])
            print(f"| {name} | {pair} | {' | '.join(cells)} | {tests} |", flush=True)
            for seed, one in enumerate(found[:CONFIRMED_SEARCHES]):
                chosen = {path: _plain(value) for path, value in one.settings[one.best(CONFIRMED_AT)].items()}
                if chosen not in choices[pair]:
                    choices[pair].append(chosen)
                labels.append({"search": name, "pair": pair, "seed": seed, "number": choices[pair].index(chosen)})
    if arguments.choices:
        write_choices(arguments.choices, choices)
        pd.DataFrame(labels).to_csv(arguments.choices / "choices.csv", index=False)
    return 0


def _forest() -> RandomForestRegressor:
    return RandomForestRegressor(200, min_samples_leaf=2, max_features=0.5, random_state=0)


def _cell(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def _plain(value: Any) -> Value:
    plain: Value = value.item() if isinstance(value, np.generic) else value
    return plain


if __name__ == "__main__":
    sys.exit(main())
