"""Hyperparameters by dotted path: what is known of each, and configs that are built from paths, spelled out and hashed.

The settings themselves, with ranges and sources, are in `settings.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from agsgtl.errors import UserError, did_you_mean, shown
from agsgtl.settings import ADDED_LATER as ADDED_LATER  # noqa: PLC0414 - what configs are made of is had from here
from agsgtl.settings import AUTHORS_SETTINGS as AUTHORS_SETTINGS  # noqa: PLC0414
from agsgtl.settings import Config as Config  # noqa: PLC0414
from agsgtl.settings import Value as Value  # noqa: PLC0414
from agsgtl.yamlfile import parse_yaml


@dataclass(frozen=True)
class Hyperparameter:
    """What is known of one setting; `low` and `high` are inclusive, `choices` is empty for numbers."""

    path: str
    type: type[bool] | type[int] | type[float] | type[str]
    default: Value
    low: float | None
    high: float | None
    choices: tuple[Value, ...]
    meaning: str
    source: str


def _bound(field: FieldInfo, side: Literal["ge", "le"]) -> float | None:
    return next((getattr(item, side) for item in field.metadata if hasattr(item, side)), None)


def _collect_hyperparameters() -> dict[str, Hyperparameter]:
    found = {}
    for group_name, group in Config.model_fields.items():
        for name, field in group.default.__class__.model_fields.items():
            path = f"{group_name}.{name}"
            literal = get_origin(field.annotation) is Literal
            extra = field.json_schema_extra
            found[path] = Hyperparameter(
                path=path,
                type=str if literal else field.annotation,
                default=field.default,
                low=_bound(field, "ge"),
                high=_bound(field, "le"),
                choices=get_args(field.annotation) if literal else (True, False) if field.annotation is bool else (),
                meaning=field.description or "",
                source=str(extra["source"]) if isinstance(extra, dict) else "",
            )
    return found


HYPERPARAMETERS: Mapping[str, Hyperparameter] = _collect_hyperparameters()

_MOST_CLAUSES = 6
"""Mistakes that one line names; a wrong list may hold thousands."""

_REAL = frozenset(path for path, known in HYPERPARAMETERS.items() if known.type is float)


def hyperparameter(path: str, origin: str) -> Hyperparameter:
    """The hyperparameter of a dotted path.

    Raises:
        UserError: there is none; the closest one is named.
    """
    if path not in HYPERPARAMETERS:
        raise UserError(f"{origin}: '{path}' is no hyperparameter; {did_you_mean(path, HYPERPARAMETERS)}")
    return HYPERPARAMETERS[path]


def require_legal(path: str, value: Value) -> None:
    """Refuses a value that its hyperparameter alone rules out: wrong type, out of range, no choice.

    Raises:
        UserError: a clause that says the rule and what came.

    >>> require_legal("attention.floor", 9.0)  # legal; only together with a ceiling it may make no sense
    """
    group, name = path.split(".")
    field = Config.model_fields[group].default.__class__.model_fields[name]
    annotated: Any = Annotated[field.annotation, Field(ge=_bound(field, "ge"), le=_bound(field, "le"))]
    legal: TypeAdapter[Value] = TypeAdapter(annotated, config=ConfigDict(strict=True, allow_inf_nan=False))
    try:
        legal.validate_python(value)
    except ValidationError as error:
        raise UserError("; ".join(clause.removeprefix(": ") for clause in describe_errors(error))) from None


def configure(*layers: Mapping[str, Value], origin: str) -> Config:
    """The config of `defaults <- layers`, each a mapping from dotted path to value; later layers win.

    Raises:
        UserError: a path is unknown, or a value has the wrong type or is out of its range; `origin` is named.

    >>> configure({"adapt.epochs": 40}, {"loss.entropy": 0.1}, origin="example").adapt.epochs
    40
    """
    tree: dict[str, dict[str, Value]] = {}
    for layer in layers:
        for path, value in layer.items():
            hyperparameter(path, origin)
            group, name = path.split(".")
            tree.setdefault(group, {})[name] = value
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{origin}: {'; '.join(describe_errors(error))}") from None


def in_full(values: Mapping[str, Value]) -> dict[str, Value]:
    """A document's values by dotted path as a config has them: whole numbers of real hyperparameters as such, later ones there.

    >>> in_full({"loss.target_segmentation": 10, "adapt.epochs": 40})["loss.target_segmentation"]
    10.0
    """
    typed = {path: float(value) if type(value) is int and path in _REAL else value for path, value in values.items()}
    return {**ADDED_LATER, **typed}


def describe_errors(error: ValidationError) -> list[str]:
    """One clause a mistake that pydantic found: the dotted key, the rule, and what came; of many the first, and how many more."""
    clauses = []
    for item in error.errors(include_url=False)[:_MOST_CLAUSES]:
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "value_error":
            clauses.append((f"{key}: " if key not in ("", *Config.model_fields) else "") + str(item["ctx"]["error"]))
        elif item["type"] == "extra_forbidden":
            clauses.append(f"{key}: no such key")
        elif item["type"] == "missing":
            clauses.append(f"{key}: this key is missing")
        else:
            clauses.append(f"{key}: {item['msg'][0].lower() + item['msg'][1:]}, got {shown(item['input'])}")
    more = error.error_count() - len(clauses)
    return [*clauses, f"and {more} more"] if more else clauses


def flatten(config: Config) -> dict[str, Value]:
    """Every hyperparameter's value by dotted path, in the order of `settings.py`.

    >>> flatten(Config())["loss.adversarial"]
    1.0
    """
    return {f"{group}.{name}": value for group, values in config.model_dump().items() for name, value in values.items()}


def parse_overrides(assignments: Iterable[str]) -> dict[str, Value]:
    """The values that `--set path=value` arguments spell; `configure` checks them.

    Raises:
        UserError: an argument is no `path=value`, or its path no hyperparameter's.

    >>> parse_overrides(["adapt.target_learning_rate=1e-3", "adapt.keep=last"])
    {'adapt.target_learning_rate': 0.001, 'adapt.keep': 'last'}
    """
    overrides: dict[str, Value] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: must read path=value, like --set loss.adversarial=0.5")
        value = parse_yaml(text, f"--set {assignment}")
        hyperparameter(path, f"--set {assignment}")
        overrides[path] = value
    return overrides


def digest(content: object) -> str:
    """Sixteen hexadecimal digits that identify a JSON-like value, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
