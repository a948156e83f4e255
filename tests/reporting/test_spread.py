"""The parts of a spread against the analysis of variance by hand, and against what was simulated."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

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


def test_a_fit_of_spread_that_did_not_converge_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    from statsmodels.regression.mixed_linear_model import MixedLMResults

    monkeypatch.setattr(MixedLMResults, "converged", property(lambda _: False, lambda *_: None), raising=False)
    assert "did not converge" in separate_spread(spread_frame(0.04, 0.01, draws=5, inits=2)).note


def test_spread_is_not_separable_with_one_initialisation() -> None:
    found = separate_spread(spread_frame(0.04, 0.01, draws=5, inits=1))
    assert found.label_draw is None
    assert "not separable" in found.note
