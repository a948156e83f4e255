"""Where the spread of a method's scores comes from: label draws, initialisations, pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, optimize

_STARTS = (0.01, 0.1, 1.0, 10.0, 100.0, 10_000.0)
"""Ratios of a component's variance to the rest's, the best of which the fit begins with."""
_MOST_STEPS = 2000
_NOTHING = 1e-12
"""Scores, which lie in 0..1, that differ by no more are equal but for their rounding."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations by source; `note` says why where they cannot be told apart."""

    label_draw: float | None
    initialisation: float | None
    pair: float | None
    note: str = ""


def separate_spread(values: pd.DataFrame) -> Spread:
    """Where the spread of one method comes from, by a mixed model (REML) with nested random effects.

    Args:
        values: columns `pair`, `label_seed`, `init_seed`, `value`; a label draw belongs to its pair.

    Returns:
        All None, with a note, unless label draws have two initialisations or more.
    """
    per_draw = values.groupby(["pair", "label_seed"])["init_seed"].nunique()
    if per_draw.empty or per_draw.min() < 2 or per_draw.groupby("pair").size().max() < 2:
        return Spread(
            None, None, None, "not separable: confirm.inits_per_draw must be 2 or more, on 2 label draws or more"
        )
    data = values.assign(draw=values["pair"].astype(str) + "/" + values["label_seed"].astype(str))
    means = data.groupby(["pair", "draw"])["value"].mean().reset_index()
    pairs = ["pair"] if data["pair"].nunique() > 1 else []
    within = data["value"] - data.groupby("draw")["value"].transform("mean")
    if within.abs().max() > _NOTHING:
        sd, rest, note = _fit_spread(data, ["draw", *pairs])
        return Spread(sd["draw"], rest, sd.get("pair"), note)
    # Without a spread between initialisations there is nothing to measure the others against: they are fitted to the means.
    if not pairs:
        return Spread(float(means["value"].std()), 0.0, None)
    between = means["value"] - means.groupby("pair")["value"].transform("mean")
    if between.abs().max() <= _NOTHING:
        return Spread(0.0, 0.0, float(means.groupby("pair")["value"].mean().std()))
    sd, rest, note = _fit_spread(means, pairs)
    return Spread(rest, 0.0, sd["pair"], note)


def _fit_spread(data: pd.DataFrame, groups: Sequence[str]) -> tuple[dict[str, float], float, str]:
    """The sd of each nested random effect by its column and of the rest, by REML, and a note where it did not converge.

    The likelihood is maximised over the variance of each effect in units of the rest's, zero included, which is the answer of
    small components as often as not: there `MixedLM.fit` of statsmodels stops early, or says that it did not converge.
    """
    values = data["value"].to_numpy()
    scale = float(values.std()) or 1.0
    members = [np.equal.outer(data[group].to_numpy(), data[group].to_numpy()) for group in groups]

    def loss(ratios: NDArray[np.float64]) -> float:
        """Minus the restricted log-likelihood for these ratios."""
        return -restricted_likelihood(values / scale, members, ratios)[0]

    start = min(map(np.array, itertools.product(_STARTS, repeat=len(groups))), key=loss)
    found = optimize.minimize(
        loss,
        start,
        method="Nelder-Mead",
        bounds=[(0.0, None)] * len(groups),
        options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": _MOST_STEPS},
    )
    rest = scale * math.sqrt(restricted_likelihood(values / scale, members, found.x)[1])
    sd = {group: rest * math.sqrt(ratio) for group, ratio in zip(groups, found.x, strict=True)}
    return sd, rest, "" if found.success else "the fit did not converge: do not rely on these"


def restricted_likelihood(
    values: NDArray[np.float64], members: Sequence[NDArray[np.bool_]], ratios: NDArray[np.float64]
) -> tuple[float, float]:
    """The restricted log-likelihood of values with one mean, but for a constant, and the rest's variance that is best for it.

    Searle, Casella and McCulloch 1992, Variance Components, section 6.6, with the rest's variance profiled out.

    Args:
        values: (n,).
        members: a random effect each, (n, n): whether two values share its level.
        ratios: the variance of each effect over that of the rest.
    """
    n = len(values)
    covariance = np.eye(n) + sum(ratio * shared for ratio, shared in zip(ratios, members, strict=True))
    factor = linalg.cholesky(covariance, lower=True)
    whitened = linalg.solve_triangular(factor, np.stack([np.ones(n), values], axis=1), lower=True)
    information = float(whitened[:, 0] @ whitened[:, 0])
    residual = whitened[:, 1] - whitened[:, 0] * float(whitened[:, 0] @ whitened[:, 1]) / information
    variance = float(residual @ residual) / (n - 1)
    determinant = 2 * float(np.log(np.diag(factor)).sum())
    return -0.5 * (determinant + math.log(information) + (n - 1) * math.log(variance)), variance
