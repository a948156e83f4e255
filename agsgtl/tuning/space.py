"""A search space: which hyperparameters Optuna samples, and from what. Checked whole before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from agsgtl.config import HYPERPARAMETERS, Hyperparameter, Value, describe_errors, require_legal
from agsgtl.errors import UserError, did_you_mean, shown
from agsgtl.training.methods import Method
from agsgtl.yamlfile import read_yaml

UNTUNABLE = ("runtime.", "data.normalisation", "labels.validation_per_class")
"""Sampling these would change what a score means, or where it is computed, and not the method."""


class _Range(BaseModel):
    """`low`, `high`, `log`, `step` as Optuna has them."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high, step = (getattr(self, name) for name in ("low", "high", "step"))
        if low > high:
            raise ValueError(f"low must not be above high, got {low:g} and {high:g}")
        if self.log and low <= 0:
            raise ValueError(f"with log: true, low must be positive, got {low:g}")
        no_step = type(self).model_fields["step"].default  # a float's None, an integer's 1
        if self.log and step != no_step:
            raise ValueError("log: true and a step exclude each other")
        if step is not None and step <= 0:
            raise ValueError(f"step must be positive, got {step:g}")
        if step is not None and low < high < low + step:
            raise ValueError(f"step must not be wider than the range, which is {high - low:g}, got {step:g}")
        return self


class _Float(_Range):
    type: Literal["float"]
    low: float
    high: float
    step: float | None = None

    def distribution(self) -> BaseDistribution:
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def extremes(self) -> tuple[Value, ...]:
        return (self.low, self.high)


class _Int(_Range):
    type: Literal["int"]
    low: int
    high: int
    step: int = 1

    def distribution(self) -> BaseDistribution:
        return IntDistribution(self.low, self.high, log=self.log, step=self.step)

    def extremes(self) -> tuple[Value, ...]:
        return (self.low, self.high)


class _Categorical(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    type: Literal["categorical"]
    choices: list[bool | int | float | str]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(self.choices) != len({(type(choice), choice) for choice in self.choices}) or not self.choices:
            raise ValueError(f"choices must be at least one and differ from each other, got {self.choices}")
        return self

    def distribution(self) -> BaseDistribution:
        return CategoricalDistribution(self.choices)

    def extremes(self) -> tuple[Value, ...]:
        return tuple(self.choices)


_KINDS: Mapping[str, type[_Float] | type[_Int] | type[_Categorical]] = {
    "float": _Float,
    "int": _Int,
    "categorical": _Categorical,
}
_FITTING = {float: ("float", "categorical"), int: ("int", "categorical"), bool: ("categorical",), str: ("categorical",)}


@dataclass(frozen=True)
class SearchSpace:
    """Distributions by dotted path, in the order of the file."""

    origin: str
    distributions: Mapping[str, BaseDistribution]

    @property
    def samples_label_count(self) -> bool:
        """Whether Optuna chooses the number of labelled pixels a class."""
        return "labels.per_class" in self.distributions

    def holds(self, path: str, value: Value) -> bool:
        """Whether a value is one that Optuna could choose for a path of this space."""
        try:
            self.require(path, value, self.origin)
        except UserError:
            return False
        return True

    def require(self, path: str, value: Value, where: str) -> None:
        """Refuses a value that Optuna could not choose for a path of this space.

        Raises:
            UserError: the value has the wrong type or lies outside the range; `where` is named.
        """
        try:
            _require_legal(HYPERPARAMETERS[path], value)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        distribution = self.distributions[path]
        try:
            create_trial(value=0.0, params={path: value}, distributions={path: distribution})
        except ValueError:
            raise UserError(
                f"{where}: '{path}' is {value}, outside of {_range(distribution)} in {self.origin}"
            ) from None

    def centre(self) -> dict[str, Value]:
        """A configuration in the middle of every range, for estimates of time."""
        return {path: _centre(distribution) for path, distribution in self.distributions.items()}


def load_space(path: Path, method: Method) -> SearchSpace:
    """The search space of a YAML file, for one method.

    Raises:
        UserError: one line that names every mistake in the file.
    """
    content = read_yaml(path)
    mistakes: list[str] = []
    distributions: dict[str, BaseDistribution] = {}
    for name, entry in content.items():
        try:
            distributions[name] = _distribution(name, entry, method)
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UserError(f"{path}: {'; '.join(mistakes)}")
    return SearchSpace(str(path), distributions)


def require_same_ranges(spaces: Iterable[SearchSpace]) -> None:
    """Refuses spaces that give one hyperparameter different ranges: the tuned methods would not meet on equal terms."""
    first: dict[str, tuple[SearchSpace, BaseDistribution]] = {}
    for space in spaces:
        for path, distribution in space.distributions.items():
            known, other = first.setdefault(path, (space, distribution))
            if other != distribution:
                raise UserError(
                    f"{space.origin}: '{path}' has another range than in {known.origin}; methods that share a "
                    "hyperparameter must share its range"
                )


def _distribution(path: str, entry: Any, method: Method) -> BaseDistribution:
    if path not in HYPERPARAMETERS:
        raise UserError(f"'{path}' is no hyperparameter; {did_you_mean(path, HYPERPARAMETERS)}")
    if path.startswith(UNTUNABLE):
        raise UserError(f"'{path}' cannot be sampled; set it under `trial:` in the experiment")
    if path not in method.reads:
        raise UserError(f"'{path}' is not read by method '{method.name}'; it reads {', '.join(sorted(method.reads))}")
    checked = _checked(HYPERPARAMETERS[path], entry)
    try:
        return checked.distribution()
    except (ValueError, ArithmeticError):  # a step too small for a decimal, say
        raise UserError(
            f"'{path}': Optuna makes no distribution of {entry}; choose a coarser step or other ends"
        ) from None


def _checked(known: Hyperparameter, entry: Any) -> _Float | _Int | _Categorical:
    kinds = _FITTING[known.type]
    if not isinstance(entry, dict) or entry.get("type") not in kinds:
        got = entry.get("type") if isinstance(entry, dict) else entry
        raise UserError(
            f"'{known.path}' is {known.type.__name__}: its type must be {' or '.join(kinds)}, got {shown(got)}"
        )
    try:
        checked = _KINDS[entry["type"]].model_validate(entry)
    except ValidationError as error:
        raise UserError(f"'{known.path}': {', '.join(describe_errors(error))}") from None
    for value in checked.extremes():
        _require_legal(known, value)
    return checked


def _require_legal(known: Hyperparameter, value: Value) -> None:
    try:
        require_legal(known.path, value)
    except UserError as error:
        raise UserError(f"'{known.path}': {error}") from None


def _range(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(str(choice) for choice in distribution.choices)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    step = "" if distribution.step is None or distribution.log else f" in steps of {distribution.step:g}"
    return f"{distribution.low:g} to {distribution.high:g}{step}"


def _centre(distribution: BaseDistribution) -> Value:
    if isinstance(distribution, CategoricalDistribution):
        choice: Any = distribution.choices[0]
        return choice  # type: ignore[no-any-return]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high = distribution.low, distribution.high
    middle = (low * high) ** 0.5 if distribution.log else (low + high) / 2
    return round(middle) if isinstance(distribution, IntDistribution) else middle
