"""YAML as files of pairs, experiments and spaces may hold it: what is read, and that all else is one line."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agsgtl.errors import UserError
from agsgtl.yamlfile import parse_yaml, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-.5", -0.5),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("010", 10),
        ("True", True),
        ("yes", "yes"),
        ("~", None),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("1_000", "1_000"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("{<<: {a: 1}}", {"<<": {"a": 1}}),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    read = parse_yaml(text, "file.yaml")
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: !!int x", "line 2: this is no valid YAML: 'x' is no int"),
        ("a: !!float x", "line 1: this is no valid YAML: 'x' is no float"),
        ("a: !!bool maybe", "line 1: this is no valid YAML: 'maybe' is no bool"),
        ("a: !!int 1_000", "line 1: this is no valid YAML: '1_000' is no int"),
        ("a: !!float inf", "line 1: this is no valid YAML: 'inf' is no float"),
        ("a: !!bool tRuE", "line 1: this is no valid YAML: 'tRuE' is no bool"),
        ("a: !!map 1", "line 1: this is no valid YAML: expected a mapping"),
        ('a: "\\U00110000"', "this is no valid YAML: chr"),
        ('a: "\\UFFFFFFFF"', "this is no valid YAML: "),
        ("a: !!int [1]", "line 1: this is no valid YAML: expected a scalar"),
        ("a: " + "9" * 5000, "line 1: this is no valid YAML: no int"),
        ("a: !!timestamp 2001-99-99", "line 1: this is no valid YAML: .*timestamp"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: this is no valid YAML: .*os.system"),
        ("a: 1\na: 2", "line 2: this is no valid YAML: key 'a' stands twice"),
        ("[" * 3000, ": its brackets or indents are nested too deep"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"^file\.yaml.*{said}") as error:
        parse_yaml(text, "file.yaml")
    assert "\n" not in str(error.value)


PIECES = st.sampled_from(
    ["!!int ", "!!float ", "!!bool ", "!!null ", "!!map ", "!!seq ", "!!str ", '"\\U00110000"', "%YAML 1.2\n"]
)
CHARACTERS = st.text(alphabet="ab01.-:{}[],&*!|>'\"%@ \n?<=~_eE+\\uU/", max_size=12)


@given(st.lists(PIECES | CHARACTERS, max_size=8).map("".join))
def test_any_text_is_a_value_or_a_users_error(text: str) -> None:
    with suppress(UserError):
        parse_yaml(text, "file.yaml")


NUMBER_LIKE = st.text(alphabet="0123456789eE+-._xo:infaINF", max_size=18)


@given(st.dictionaries(NUMBER_LIKE | st.text(), NUMBER_LIKE | st.text() | st.integers() | st.floats(allow_nan=False)))
@example({"fingerprint": "12345678e1234567", "name": "0815", "1e-3": "1e3"})
@example({"08": "0129999999999999", "1.": ".5", "on": "2024-11-26", "1_000": "0x1f", "null": " 5"})
@example({"\x85": "a\u2028b", "\u2029": "\ufeff"})
@example({"rate": 1e-05, "many": 1e16, "none": None, "yes": True})  # type: ignore[dict-item]
def test_what_is_written_is_read_as_it_was(content: dict[str, Any]) -> None:
    read = parse_yaml(write_yaml(content), "file.yaml")
    assert (read, [*map(type, read.values())]) == (content, [*map(type, content.values())])
