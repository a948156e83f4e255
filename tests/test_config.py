from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agsgtl.config import (
    AUTHORS_SETTINGS,
    HYPERPARAMETERS,
    Config,
    Hyperparameter,
    configure,
    flatten,
    parse_overrides,
    require_legal,
)
from agsgtl.errors import UserError

NUMBERS = [known for known in HYPERPARAMETERS.values() if known.type in (int, float)]


BOUND = {"attention.floor", "attention.ceiling"}
"""Each bounds the other."""

FRIENDS = {
    "model.width": 21,
    "model.discriminator_width": 21,
    "adapt.orientation": "random",
    "loss.target_segmentation": 1.0,
}
"""With these any other value is legal on its own."""


def legal_values(known: Hyperparameter) -> st.SearchStrategy[object]:
    if known.choices:
        return st.sampled_from(known.choices)
    high = 1e6 if known.high is None else known.high
    if known.type is int:
        return st.integers(int(known.low), int(high))
    return st.floats(known.low, high)


@given(data=st.data())
def test_a_legal_value_comes_back(data: st.DataObject) -> None:
    known = data.draw(st.sampled_from([known for known in HYPERPARAMETERS.values() if known.path not in BOUND]))
    value = data.draw(legal_values(known))
    require_legal(known.path, value)
    assert flatten(configure(FRIENDS, {known.path: value}, origin="test"))[known.path] == value


@given(known=st.sampled_from(NUMBERS), beyond=st.floats(1e-9, 1e3))
def test_a_number_below_its_range_is_refused_by_name(known: Hyperparameter, beyond: float) -> None:
    assert known.low is not None
    refuse_by_name(known, known.low - (max(1, round(beyond)) if known.type is int else beyond), "greater")


@given(known=st.sampled_from([known for known in NUMBERS if known.high is not None]), beyond=st.floats(1e-9, 1e3))
def test_a_number_above_its_range_is_refused_by_name(known: Hyperparameter, beyond: float) -> None:
    assert known.high is not None
    refuse_by_name(known, known.high + (max(1, round(beyond)) if known.type is int else beyond), "less")


def refuse_by_name(known: Hyperparameter, value: float, rule: str) -> None:
    with pytest.raises(UserError, match=rf"file\.yaml: {re.escape(known.path)}: .*{rule} than or equal to"):
        configure({known.path: value}, origin="file.yaml")
    with pytest.raises(UserError, match=rf"^input should be {rule} than or equal to"):  # whoever asks names the path
        require_legal(known.path, value)


@pytest.mark.parametrize("known", HYPERPARAMETERS.values(), ids=lambda known: known.path)
def test_each_hyperparameter_is_told_whole(known: Hyperparameter) -> None:
    assert known.meaning
    assert known.source
    assert known.choices or known.low is not None
    require_legal(known.path, known.default)


@pytest.mark.parametrize("wrong", ["three", None, [1], math.nan, math.inf, True])
def test_a_value_of_another_type_is_refused(wrong: object) -> None:
    with pytest.raises(UserError, match=r"a\.yaml: loss\.entropy: .* got "):
        configure({"loss.entropy": wrong}, origin="a.yaml")  # type: ignore[dict-item]


def test_an_unknown_path_gets_a_suggestion() -> None:
    with pytest.raises(
        UserError, match=r"a\.yaml: 'loss\.entropie' is no hyperparameter; did you mean 'loss\.entropy'"
    ):
        configure({"loss.entropie": 0.1}, origin="a.yaml")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention.floor": 3.0}, r"attention\.floor must be below attention\.ceiling, got 3 and 2"),
        ({"model.family": "depthwise"}, r"model\.width must be a multiple of 21"),
        ({"adapt.discriminator_view": "random"}, r"needs adapt\.orientation or adapt\.pooling_grid random"),
        (
            {"loss.adversarial": 0.0},
            r"one of loss\.adversarial, .* must be above 0, or the target has nothing to learn",
        ),
        (
            {"loss.discriminator_source": 0.0, "loss.discriminator_target": 0.0},
            r"one of loss\.discriminator_source, .* must be above 0, or the discriminator has nothing to learn",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=rf"^a\.yaml: .*{message}"):
        configure(settings, origin="a.yaml")  # type: ignore[arg-type]


def test_later_layers_win() -> None:
    config = configure({"loss.entropy": 0.1, "adapt.epochs": 9}, {"loss.entropy": 0.2}, origin="test")
    assert (config.loss.entropy, config.adapt.epochs) == (0.2, 9)


@pytest.mark.parametrize("name", AUTHORS_SETTINGS)
def test_the_authors_settings_are_legal(name: str) -> None:
    assert isinstance(configure(AUTHORS_SETTINGS[name], origin=name), Config)


@pytest.mark.parametrize("text", ["adapt.epochs", "loss.foo=1", "=3"])
def test_a_wrong_override_is_named(text: str) -> None:
    with pytest.raises(UserError, match=f"--set {text}"):
        parse_overrides([text])
