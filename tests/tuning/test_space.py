from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from agsgtl.errors import UserError
from agsgtl.training.methods import METHODS
from agsgtl.tuning.space import SearchSpace, load_space, require_same_ranges

SHIPPED = Path(__file__).parents[2] / "search_spaces"


def space_of(folder: Path, text: str, method: str = "agsgtl") -> SearchSpace:
    path = folder / "space.yaml"
    path.write_text(text)
    return load_space(path, METHODS[method])


def test_the_words_are_optunas(tmp_path: Path) -> None:
    space = space_of(
        tmp_path,
        "loss.adversarial: {type: float, low: 1e-2, high: 10, log: true}\n"
        "adapt.target_steps: {type: int, low: 1, high: 9, step: 2}\n"
        "attention.target: {type: categorical, choices: [true, false]}\n",
    )
    assert space.distributions == {
        "loss.adversarial": FloatDistribution(0.01, 10, log=True),
        "adapt.target_steps": IntDistribution(1, 9, step=2),
        "attention.target": CategoricalDistribution([True, False]),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "los.adversarial: {type: float, low: 1, high: 2}",
            "'los.adversarial' is no hyperparameter; did you mean 'loss.adversarial'",
        ),
        (
            "loss.entropy: {type: int, low: 1, high: 2}",
            "'loss.entropy' is float: its type must be float or categorical, got 'int'",
        ),
        ("loss.entropy: {type: float, low: small, high: 2}", "low: input should be a valid number, got 'small'"),
        ("loss.entropy: {type: float, low: '0.1', high: 2}", "low: input should be a valid number, got '0.1'"),
        ("loss.entropy: {type: float, low: 2, high: 1}", "low must not be above high, got 2 and 1"),
        (
            "loss.entropy: {type: float, low: -1, high: 1}",
            "'loss.entropy': input should be greater than or equal to 0, got -1",
        ),
        ("loss.entropy: {type: float, low: 0, high: 1, log: true}", "with log: true, low must be positive, got 0"),
        ("loss.entropy: {type: float, low: 1, high: 9, log: true, step: 1}", "log: true and a step exclude each other"),
        ("adapt.epochs: {type: int, low: 1, high: 9, log: true, step: 2}", "log: true and a step exclude each other"),
        (
            "adapt.epochs: {type: int, low: 1, high: 3, step: 5}",
            "step must not be wider than the range, which is 2, got 5",
        ),
        (
            "loss.entropy: {type: float, low: 0, high: 0.5, step: 1}",
            "step must not be wider than the range, which is 0.5",
        ),
        (
            "loss.entropy: {type: float, low: 0, high: 1, step: 1e-320}",
            "'loss.entropy': Optuna makes no distribution of {",
        ),
        ("loss.entropy: {type: float, low: 0, high: 1, lgo: true}", "lgo: no such key"),
        ("loss.entropy: {type: float, low: 0}", "high: this key is missing"),
        ("loss.entropy: {low: 0, high: 1}", "its type must be float or categorical, got None"),
        ("loss.entropy: 3", "its type must be float or categorical, got 3"),
        ("loss.entropy: {type: float, low: 0, high: .inf}", "high: input should be a finite number"),
        ("adapt.epochs: {type: int, low: 1, high: 2.5}", "high: input should be a valid integer, got 2.5"),
        (
            "adapt.keep: {type: categorical, choices: [last, first]}",
            "'adapt.keep': input should be 'last', 'best_validation'",
        ),
        ("adapt.keep: {type: categorical, choices: []}", "choices must be at least one"),
        ("runtime.threads: {type: int, low: 1, high: 2}", "'runtime.threads' cannot be sampled"),
        ("[1, 2]", "must hold a mapping"),
        ("loss.entropy: {type: float, low: 0, high: 1}\nloss.entropy: {type: float, low: 0, high: 2}", "stands twice"),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        space_of(tmp_path, text)
    assert message in str(caught.value)
    assert str(tmp_path / "space.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_logarithmic_integer_may_say_the_step_that_it_has(tmp_path: Path) -> None:
    space = space_of(tmp_path, "adapt.epochs: {type: int, low: 1, high: 9, log: true, step: 1}")
    assert space.distributions == {"adapt.epochs": IntDistribution(1, 9, log=True)}


def test_all_mistakes_of_a_file_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loss\.foo.*adapt\.bar"):
        space_of(tmp_path, "loss.foo: {type: float, low: 0, high: 1}\nadapt.bar: {type: float, low: 0, high: 1}")


def test_a_path_that_the_method_does_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'loss\.entropy' is not read by method 'fine_tune'"):
        space_of(tmp_path, "loss.entropy: {type: float, low: 0, high: 1}", "fine_tune")


def test_methods_that_share_a_path_share_its_range(tmp_path: Path) -> None:
    one = space_of(tmp_path, "adapt.target_learning_rate: {type: float, low: 1e-4, high: 1e-2}")
    two = space_of(tmp_path, "adapt.target_learning_rate: {type: float, low: 1e-4, high: 1e-3}", "fine_tune")
    require_same_ranges([one, one])
    with pytest.raises(UserError, match="has another range"):
        require_same_ranges([one, two])


@pytest.mark.parametrize("name", ["losses", "attention", "labels", "full"])
def test_shipped_spaces_load_for_agsgtl(name: str) -> None:
    assert load_space(SHIPPED / f"{name}.yaml", METHODS["agsgtl"]).distributions


@pytest.mark.parametrize("method", ["fine_tune", "target_only", "source_and_target"])
def test_the_baselines_space_fits_each_of_them_and_the_losses(method: str) -> None:
    baseline = load_space(SHIPPED / "fine_tune.yaml", METHODS[method])
    require_same_ranges([baseline, load_space(SHIPPED / "losses.yaml", METHODS["agsgtl"])])


@given(low=st.floats(1e-6, 10), high=st.floats(1e-6, 10), log=st.booleans())
def test_any_legal_range_becomes_its_distribution(
    tmp_path_factory: pytest.TempPathFactory, low: float, high: float, log: bool
) -> None:
    low, high = sorted((low, high))
    text = f"loss.entropy: {{type: float, low: {low!r}, high: {high!r}, log: {str(log).lower()}}}"
    space = space_of(tmp_path_factory.mktemp("space"), text)
    assert space.distributions["loss.entropy"] == FloatDistribution(low, high, log=log)
    assert low <= space.centre()["loss.entropy"] <= high * (1 + 1e-12)
