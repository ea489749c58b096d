"""JSON compares by value, as jsonb has it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.comparing.json_value import (
    JsonDifference,
    canonical_json,
    canonical_value,
    first_difference,
    reads_as,
)
from shared.formats.plain_json import PlainJson, read_plain_json
from shared.rows import CanonicalJson

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    ),
    lambda children: st.one_of(st.lists(children, max_size=4), st.dictionaries(texts, children, max_size=4)),
    max_leaves=12,
)


def _exact(value: Any) -> Any:
    """A value that Python compares as jsonb does: True is no number, numbers are decimals."""
    match value:
        case bool() | None:
            return (type(value), value)
        case int() | float():
            return ("number", Decimal(repr(value)))
        case list():
            return [_exact(item) for item in value]
        case dict():
            return {key: _exact(item) for key, item in value.items()}
        case _:
            return value


@pytest.mark.parametrize(
    "spellings",
    [
        ["1", "1.0", "1.00", "1e0", "10e-1", "0.1E+1"],
        ["100", "1e2", "1E+2", "100.000"],
        ["0", "-0", "0.0", "-0.0", "0e5", "0E-5"],
        ["1000000000000000000", "1e18", "1.0E18"],
        ["18446744073709551616", "18446744073709551616.0", "1.8446744073709551616e19"],
        ["1e400", "1" + "0" * 400],
        ["1e-7", "0.0000001"],
        ['"\u00e9"', '"\\u00e9"', '"\\u00E9"'],
        ['"\U0001f9c0/"', '"\\ud83e\\uddc0\\/"'],
        ['{"a":1,"b":[true,null]}', ' {\n "b" : [ true , null ],\t"a": 1.0 }'],
        ['{"a":2}', '{"a":1,"a":2}', '{"\\u0061":1,"a":2}'],
    ],
    ids=lambda spellings: spellings[0][:30],
)
def test_spellings_of_one_value_have_one_canonical_form(spellings: list[str]) -> None:
    assert len({canonical_json(spelling) for spelling in spellings}) == 1
    assert len({canonical_json(f'[{{"k":{spelling},"f":0.5}}]') for spelling in spellings}) == 1
    assert all(first_difference(spellings[0], spelling) is None for spelling in spellings)


@pytest.mark.parametrize(
    "texts",
    [
        ["1", "true", '"1"', "null", "[]", "{}", '""', "[1]", "[[]]", "[null]", "0", "false"],
        ["9007199254740993", "9007199254740992", "9007199254740993.5"],
        ["18446744073709551617", "18446744073709551616"],
        ["0.1", "0.10000000000000001", "0.1000000000000000055511151231257827"],
        ["1e400", "1.1e400", "1e401", "-1e400"],
        ['{"a":[]}', '{"a":{}}', '{"a":null}', "{}"],
        ["[1,[2]]", "[[1],2]", "[1,2]", "[2,1]"],
    ],
    ids=lambda texts: texts[0],
)
def test_different_values_have_different_canonical_forms(texts: list[str]) -> None:
    assert len({canonical_json(text) for text in texts}) == len(texts)
    assert all(first_difference(texts[0], text) is not None for text in texts[1:])


@given(values, values)
def test_canonical_forms_are_equal_exactly_where_values_are(one: Any, other: Any) -> None:
    one_text, other_text = json.dumps(one), json.dumps(other)
    is_equal = _exact(one) == _exact(other)
    assert (canonical_json(one_text) == canonical_json(other_text)) == is_equal
    assert (first_difference(one_text, other_text) is None) == is_equal


@given(values, st.sampled_from([None, 1]), st.booleans())
def test_spelling_does_not_matter(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert canonical_json(text) == canonical_json(json.dumps(value, sort_keys=True))


@pytest.mark.parametrize("depth", [200, 254, 255, 300, 512])
def test_deep_values_compare_as_well(depth: int) -> None:
    def nested(leaf: str) -> str:
        return '{"b":0,"a":[' * (depth // 2) + leaf + "]}" * (depth // 2)

    assert canonical_json(nested("1e2")) == canonical_json(nested("100"))
    assert canonical_json(nested("1")) != canonical_json(nested("2"))
    assert canonical_json(nested("[]")) != canonical_json(nested("{}"))
    assert first_difference(nested("1"), nested("1.0")) is None
    assert first_difference(nested("1"), nested("2")) is not None


@pytest.mark.parametrize(
    ("expected", "actual", "difference"),
    [
        ('{"a":{"b":[1,2]}}', '{"a":{"b":[1,3]}}', JsonDifference("$.a.b[1]", "2", "3")),
        ('{"a":1,"b":1}', '{"a":2,"b":2}', JsonDifference("$.a", "1", "2")),
        ("[1]", "[1,2]", JsonDifference("$[1]", None, "2")),
        ('{"a":null}', "{}", JsonDifference("$.a", "null", None)),
        ('{"a":[1]}', '{"a":{"b":1.0}}', JsonDifference("$.a", "[1]", '{"b":1}')),
        ("[true]", "[1]", JsonDifference("$[0]", "true", "1")),
    ],
)
def test_the_first_difference_is_named(expected: str, actual: str, difference: JsonDifference) -> None:
    assert first_difference(expected, actual) == difference


numbers = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        ["0.1", "0.10", "0.100000000000000005", "0.82", "123456789012.345", "1234567890123.4567", "1.0"]
    ),
    st.sampled_from(
        ["0.0001", "0.00009", "999999999999999.5", "1000000000000000.5", "-0.5", "-0.0", "1e15", "1E-4"]
    ),
)
#: A number in a text, which must not be taken for one, beside one that is.
documents = st.lists(st.one_of(numbers, numbers.map(lambda number: f'"{number}"')), min_size=1, max_size=4).map(
    lambda items: "[" + ",".join(items) + "]"
)


def _canonical(plain: PlainJson) -> CanonicalJson:
    return CanonicalJson(canonical_value(plain.value), plain.has_fractions)


@given(documents)
def test_plain_json_has_the_canonical_form_of_its_text(text: str) -> None:
    plain = read_plain_json(text.encode())
    if plain is not None:
        assert canonical_value(plain.value) == canonical_json(text)


@given(documents, documents)
def test_a_text_reads_as_a_plain_form_only_if_it_has_it(text: str, other: str) -> None:
    plain = read_plain_json(other.encode())
    if plain is not None and reads_as(text, _canonical(plain)):
        assert canonical_json(text) == canonical_json(other)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("[0.100000000000000005]", "[0.1]"),
        ("[123456789012345678901]", "[1]"),
        ("[true]", "[1]"),
        ("[1.0]", "[1]"),
        ("[1e-1]", "[0.1]"),
        ('["0.1"]', "[0.1]"),
    ],
)
def test_what_only_looks_alike_to_a_float_does_not_read_as_it(text: str, other: str) -> None:
    plain = read_plain_json(other.encode())
    assert plain is not None
    assert not reads_as(text, _canonical(plain))


@pytest.mark.parametrize("text", ['{"b": 0.82, "a": [1, 12.5]}', '{"a": [1, 12.50], "b": 0.820}'])
def test_short_fractions_are_plain(text: str) -> None:
    plain = read_plain_json(text.encode())
    assert plain is not None
    assert plain.has_fractions
    assert reads_as(text, _canonical(plain))
    assert _canonical(plain).text == canonical_json('{"a":[1,12.5],"b":0.82}')
