"""YAML as a researcher writes it: safe-loaded, `1e-3` is a number, `on` is text, a key stands once.

PyYAML follows YAML 1.1, where `1e-3` is text (no dot, no sign) and `on`, `yes`, `off`, `no` are booleans. Here the
scalars follow the YAML 1.2 core schema instead (https://yaml.org/spec/1.2.2/#103-core-schema).
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from agsgtl.errors import UserError


class _CoreSchemaLoader(yaml.SafeLoader):
    """A safe loader with the scalars of YAML 1.2 that refuses a mapping with the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of a node, or an error that names the repeated key and its line."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", key_node.start_mark)
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


_REPLACED = {
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:timestamp",
}
_CoreSchemaLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_CoreSchemaLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_CoreSchemaLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
_CoreSchemaLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
# The first resolver that matches wins, and an integer matches the float's pattern too: try integers first.
for _resolvers in _CoreSchemaLoader.yaml_implicit_resolvers.values():
    _resolvers.sort(key=lambda entry: entry[0] != "tag:yaml.org,2002:int")
_CoreSchemaLoader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def parse_yaml(text: str, origin: str) -> Any:
    """The value that `text` spells.

    Raises:
        UserError: the text is no YAML, or repeats a key; `origin` and the line are named.

    >>> parse_yaml("{rate: 1e-3, attention: on, steps: 010}", "example")
    {'rate': 0.001, 'attention': 'on', 'steps': 10}
    """
    try:
        return yaml.load(text, _CoreSchemaLoader)  # noqa: S506 - a SafeLoader with other scalars
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{origin}{line}: this is no valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{origin}: this is no valid YAML: {' '.join(str(error).split())}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        UserError: the file cannot be read, is no UTF-8 YAML, or holds no mapping with text keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: must be a text file in UTF-8") from None
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        kind = "is empty" if content is None else f"holds {type(content).__name__}"
        raise UserError(f"{path}: must hold a mapping `key: value`, but {kind}")
    return content
