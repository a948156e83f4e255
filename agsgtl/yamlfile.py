"""YAML as a researcher writes it: safe-loaded, `1e-3` is a number, `on` is text, a key stands once; and written to be read so.

PyYAML follows YAML 1.1, where `1e-3` is text (no dot, no sign) and `on`, `yes`, `off`, `no` are booleans. Here the
scalars follow the YAML 1.2 core schema instead (https://yaml.org/spec/1.2.2/#103-core-schema).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import yaml

from agsgtl.errors import UserError


class _CoreSchemaLoader(yaml.SafeLoader):
    """A safe loader with the scalars of YAML 1.2 that refuses a mapping with the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of a node, or an error that names the repeated key and its line."""
        if not isinstance(node, yaml.MappingNode):  # `!!map 1`
            return super().construct_mapping(node, deep)
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", key_node.start_mark)
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


class _CoreSchemaDumper(yaml.SafeDumper):
    """A safe dumper that quotes text which looks like a number to either version of YAML."""


_CORE = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")}
"""The tags of the core schema; any other, written out, is refused by its name. None: PyYAML's way to refuse."""
_CoreSchemaLoader.yaml_constructors = {
    tag: construct for tag, construct in yaml.SafeLoader.yaml_constructors.items() if tag in _CORE or tag is None
}
_CoreSchemaLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _scalar(kind: str, pattern: str, first: str, read: Callable[[str], Any]) -> None:
    """Reads the scalars of a kind, which look like `pattern` and begin with a character of `first`, by `read`.

    What does not look like one, after a tag such as `!!int`, is an error with its line. Text that looks like one is written
    in quotes.
    """
    whole, tag = re.compile(rf"^(?:{pattern})$"), f"tag:yaml.org,2002:{kind}"

    def construct(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        text = loader.construct_scalar(node)
        if not whole.match(text):
            raise yaml.constructor.ConstructorError(None, None, f"'{text}' is no {kind}", node.start_mark)
        try:
            return read(text.lower())
        except ValueError:  # more digits than Python reads
            raise yaml.constructor.ConstructorError(
                None, None, f"no {kind} that can be read", node.start_mark
            ) from None

    _CoreSchemaLoader.add_implicit_resolver(tag, whole, list(first))
    _CoreSchemaLoader.add_constructor(tag, construct)
    _CoreSchemaDumper.add_implicit_resolver(tag, whole, list(first))


# The first kind that fits a scalar counts, and an integer fits the float's pattern too.
_scalar("int", r"[-+]?[0-9]+", "-+0123456789", int)
_scalar(
    "float",
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "-+0123456789.",
    lambda text: float(text.replace(".inf", "inf").replace(".nan", "nan")),
)
_scalar("bool", r"true|True|TRUE|false|False|FALSE", "tTfF", {"true": True, "false": False}.__getitem__)


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """A text with a line break that only Unicode knows is quoted with its escapes: PyYAML would read a space."""
    style = '"' if _UNICODE_BREAKS & set(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_UNICODE_BREAKS = frozenset("\x85\u2028\u2029")
_CoreSchemaDumper.add_representer(str, _write_text)


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
    except (ValueError, OverflowError) as error:  # an escape that is no character, a version that is no number
        raise UserError(f"{origin}: this is no valid YAML: {error}") from None
    except RecursionError:
        raise UserError(f"{origin}: its brackets or indents are nested too deep to be read; write it flatter") from None


def write_yaml(content: Any, width: int = 80) -> str:
    """The text that `parse_yaml` reads as `content`, its keys in their order.

    >>> print(write_yaml({"rate": 0.001, "name": "1e-3", "pair": "0815"}), end="")
    rate: 0.001
    name: '1e-3'
    pair: '0815'
    """
    return yaml.dump(content, Dumper=_CoreSchemaDumper, sort_keys=False, allow_unicode=True, width=width)


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
