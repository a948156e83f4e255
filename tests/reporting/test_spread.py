"""The parts of a spread against the analysis of variance by hand, and against what was simulated."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

from agsgtl.reporting import spread
from agsgtl.reporting.spread import separate_spread


def spread_frame(draw_sd: float, init_sd: float, draws: int, inits: int) -> pd.DataFrame:
    """One pair; values with this spread between draws and between initialisations."""
    rng = np.random.default_rng(4)
    effect = rng.normal(0, draw_sd, draws)
    rows = [
        ("a", d, i, 0.7 + effect[d] + rng.normal(0, init_sd)) for d, i in itertools.product(range(draws), range(inits))
    ]
    return pd.DataFrame(rows, columns=["pair", "label_seed", "init_seed", "value"])


def test_spread_agrees_with_the_analysis_of_variance_by_hand() -> None:
    # Draws (1, 3), (5, 7), (3, 5): within 2; between 2 * var(2, 6, 4) = 8; so the draws' variance is (8 - 2) / 2 = 3.
    rows = [("a", d, i, v) for d, pair in enumerate([(1, 3), (5, 7), (3, 5)]) for i, v in enumerate(pair)]
    found = separate_spread(pd.DataFrame(rows, columns=["pair", "label_seed", "init_seed", "value"]))
    assert found.label_draw == pytest.approx(3**0.5, rel=1e-3)
    assert found.initialisation == pytest.approx(2**0.5, rel=1e-3)
    assert found.pair is None


def test_spread_finds_what_was_simulated() -> None:
    found = separate_spread(spread_frame(0.04, 0.01, draws=60, inits=4))
    assert found.label_draw == pytest.approx(0.04, rel=0.3)
    assert found.initialisation == pytest.approx(0.01, rel=0.2)


def test_spread_over_pairs_has_a_pair_component() -> None:
    frames = [spread_frame(0.02, 0.01, 10, 2).assign(pair=name) for name in "abc"]
    for shift, frame in enumerate(frames):
        frame["value"] += 0.1 * shift
    found = separate_spread(pd.concat(frames))
    assert found.pair == pytest.approx(0.1, rel=0.2)
    assert found.label_draw == pytest.approx(0.02, rel=0.4)


@pytest.mark.parametrize("pairs", ["a", "ab"])
def test_spread_of_a_deterministic_method_is_that_of_its_draws(pairs: str) -> None:
    frame = spread_frame(0.04, 0.0, draws=10, inits=2)
    found = separate_spread(
        pd.concat([frame.assign(pair=name, value=frame["value"] + shift) for shift, name in enumerate(pairs)])
    )
    assert found.label_draw == pytest.approx(frame.groupby("label_seed")["value"].mean().std(), rel=1e-2)
    assert found.initialisation == 0.0


@pytest.mark.parametrize("lower", [1.0, 0.7])
def test_a_method_that_never_varies_within_a_pair_has_the_spread_of_its_pairs(lower: float) -> None:
    frame = spread_frame(0.0, 0.0, draws=3, inits=2)
    both = pd.concat([frame.assign(pair="a", value=1.0), frame.assign(pair="b", value=lower)])
    found = separate_spread(both)
    assert (found.label_draw, found.initialisation) == (0.0, 0.0)
    assert found.pair == pytest.approx((1.0 - lower) / 2**0.5)


def test_one_draw_on_each_of_two_pairs_tells_nothing_of_draws() -> None:
    frame = spread_frame(0.1, 0.01, draws=1, inits=2)
    both = pd.concat([frame, frame.assign(pair="b", value=frame["value"] + 0.1)])
    assert "not separable" in separate_spread(both).note


def nested_frame(seed: int, draw_sd: float) -> pd.DataFrame:
    """Five pairs of ten draws of two initialisations, balanced."""
    rng = np.random.default_rng(seed)
    of_pair, of_draw = rng.normal(0, 0.1, 5), rng.normal(0, draw_sd, (5, 10))
    rows = [
        (str(p), d, i, 0.7 + of_pair[p] + of_draw[p, d] + rng.normal(0, 0.03))
        for p, d, i in itertools.product(range(5), range(10), range(2))
    ]
    return pd.DataFrame(rows, columns=["pair", "label_seed", "init_seed", "value"])


def by_mean_squares(frame: pd.DataFrame) -> tuple[float, float, float]:
    """The sd by draw, initialisation and pair of `nested_frame`: where data are balanced, REML is the mean squares' answer.

    A draw's component below zero is zero, and its mean square joins that of the initialisations.
    """
    values = frame["value"].to_numpy().reshape(5, 10, 2)
    init, draw = values.var(axis=2, ddof=1).mean(), 2 * values.mean(2).var(axis=1, ddof=1).mean()
    pair = 20 * values.mean((1, 2)).var(ddof=1)
    if draw < init:
        init = draw = (50 * init + 45 * draw) / 95
    return ((draw - init) / 2) ** 0.5, init**0.5, ((pair - draw) / 20) ** 0.5


@pytest.mark.parametrize("draw_sd", [0.0, 0.001, 0.02])
@pytest.mark.parametrize("seed", range(5))
def test_spread_of_balanced_data_is_that_of_the_mean_squares_with_a_component_of_zero_too(
    seed: int, draw_sd: float
) -> None:
    frame = nested_frame(seed, draw_sd)
    found = separate_spread(frame)
    assert (found.label_draw, found.initialisation, found.pair) == pytest.approx(by_mean_squares(frame), abs=1e-4)
    assert found.note == ""


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.ConvergenceWarning")  # of its own fit
def test_the_restricted_likelihood_is_that_of_statsmodels() -> None:
    frame = nested_frame(3, 0.02).drop(index=[3, 40, 41])  # not balanced
    frame = frame.assign(draw=frame["pair"] + "/" + frame["label_seed"].astype(str), whole=1).reset_index(drop=True)
    effects = {"draw": "0 + C(draw)", "pair": "0 + C(pair)"}
    model = MixedLM.from_formula("value ~ 1", frame, groups="whole", vc_formula=effects)
    model.fit(reml=True)  # which sets what its likelihood reads
    members = [np.equal.outer(frame[name].to_numpy(), frame[name].to_numpy()) for name in effects]

    constants = []
    for ratios in (np.array([0.5, 4.0]), np.array([2.0, 30.0])):
        theirs = model.loglike(MixedLMParams.from_components(vcomp=ratios))
        constants.append(theirs - spread.restricted_likelihood(frame["value"].to_numpy(), members, ratios)[0])
    assert constants[0] == pytest.approx(constants[1], abs=1e-8)


def test_a_fit_of_spread_that_did_not_converge_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "_MOST_STEPS", 1)
    assert "did not converge" in separate_spread(spread_frame(0.04, 0.01, draws=5, inits=2)).note


def test_spread_is_not_separable_with_one_initialisation() -> None:
    found = separate_spread(spread_frame(0.04, 0.01, draws=5, inits=1))
    assert found.label_draw is None
    assert "not separable" in found.note
