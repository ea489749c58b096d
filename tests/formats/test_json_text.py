"""JSON text is judged as PostgreSQL would judge it, and never by how deep the caller's stack is."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.database_url import DatabaseAddress
from shared.documents import Document
from shared.errors import Malformed
from shared.formats import json_text
from shared.formats.json_text import fits_numeric, parse_json
from shared.formats.limits import MAX_JSON_DEPTH
from shared.formats.plain_json import read_plain_json
from shared.reasons import Reason


def parse(text: str | bytes, *, stored: bool = True):
    content = text.encode() if isinstance(text, str) else text
    return parse_json(Document("a.json", content), stored=stored)


def fault(text: str | bytes, *, stored: bool = True) -> Malformed:
    with pytest.raises(Malformed) as raised:
        parse(text, stored=stored)
    return raised.value


def test_the_text_goes_on_unchanged() -> None:
    text = '{ "b": 1.10,\r\n "a": "\\u00e9 – \\\\u0000" }\n'
    parsed = parse(text)
    assert parsed.text == text
    assert parsed.value == {"b": 1.1, "a": "é – \\u0000"}
    assert parsed.exact


@pytest.mark.parametrize(
    ("text", "reason", "line", "column"),
    [
        (b"", Reason.EMPTY_FILE, None, None),
        (b" \r\n\t", Reason.EMPTY_FILE, None, None),
        (b"\xef\xbb\xbf", Reason.EMPTY_FILE, None, None),
        (b"\xef\xbb\xbf \n", Reason.EMPTY_FILE, None, None),
        (b'{"a": "\xe4"}', Reason.NOT_UTF8, 1, 8),
        (b'{"a":\n "\xed\xa0\x80"}', Reason.NOT_UTF8, 2, 3),
        (b"\xff\xfe{\0}\0", Reason.NOT_UTF8, 1, 1),
        (b'{"a": }', Reason.NOT_JSON, 1, 7),
        (b'{"a": 1,\n "b": 2,}', Reason.NOT_JSON, 2, 9),
        (b"{'a': 1}", Reason.NOT_JSON, 1, 2),
        (b'{"a": 1} x', Reason.NOT_JSON, 1, 10),
        (b'{"a": "x', Reason.NOT_JSON, 1, 7),
        (b'["\x01"]', Reason.NOT_JSON, 1, 3),
        (b'["\0"]', Reason.NOT_JSON, 1, 3),
        (b"[01]", Reason.NOT_JSON, 1, 3),
        (b"[+1]", Reason.NOT_JSON, 1, 2),
        (b"[.5]", Reason.NOT_JSON, 1, 2),
        (b"[1.]", Reason.NOT_JSON, 1, 3),
        (b"// note\n{}", Reason.NOT_JSON, 1, 1),
        (b"# Title", Reason.NOT_JSON, 1, 1),
        (b'{"a":\n  NaN}', Reason.JSON_NOT_FINITE, 2, 3),
        (b'["NaN", Infinity]', Reason.JSON_NOT_FINITE, 1, 9),
        (b'["\\"NaN", -Infinity]', Reason.JSON_NOT_FINITE, 1, 11),
        (b'{"a": [1, 1e131072]}', Reason.JSON_NUMBER_OUT_OF_RANGE, 1, 11),
        (b'["1e999999", -1e-16384]', Reason.JSON_NUMBER_OUT_OF_RANGE, 1, 14),
        (b"9" * 131_073, Reason.JSON_NUMBER_OUT_OF_RANGE, 1, 1),
        (b'{"a": "x\\u0000"}', Reason.UNSTORABLE_TEXT, 1, 9),
        (b'{"\\u0000": 1}', Reason.UNSTORABLE_TEXT, 1, 3),
        (b'["\\\\\\u0000"]', Reason.UNSTORABLE_TEXT, 1, 5),
        (b'["\\ud83d"]', Reason.UNSTORABLE_TEXT, 1, 3),
        (b'["\\ud83d x \\ude00"]', Reason.UNSTORABLE_TEXT, 1, 3),
        (b'["\\uDE00"]', Reason.UNSTORABLE_TEXT, 1, 3),
        (b'["\\ud83d\\n"]', Reason.UNSTORABLE_TEXT, 1, 3),
        (b'["\\ud83d\\ude00\\ud83d"]', Reason.UNSTORABLE_TEXT, 1, 15),
        (b'["\\ud83d", "\\ude00"]', Reason.UNSTORABLE_TEXT, 1, 3),
    ],
)
def test_each_fault_has_its_reason_and_its_place(
    text: bytes, reason: Reason, line: int | None, column: int | None
) -> None:
    error = fault(text)
    assert (error.reason, error.place.line, error.place.column) == (reason, line, column)
    assert error.place.document == "a.json"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b'{"a": "x', "Unterminated string in line 1, column 7"),
        (b'["\x01"]', "Invalid control character in line 1, column 3"),
        (b'{"a": 1} x', "Extra data in line 1, column 10"),
    ],
)
def test_a_sentence_names_the_place_once(text: bytes, what: str) -> None:
    assert fault(text).sentence == f"a.json is not JSON: {what}."


@pytest.mark.parametrize(
    "text",
    [
        '"\\\\u0000"',
        '"\\\\ud83d"',
        '"\\ud83d\\ude00"',
        '"\\uD83D\\uDE00 \\\\ud83d"',
        '"\\\\\\\\u0000"',
        '"\\ud7ff\\ue000"',
    ],
)
def test_ordinary_text_that_looks_like_a_bad_escape_is_stored(text: str) -> None:
    assert parse(text).exact


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "\\u0061": 1}}]', "[-0.0]", "[-0]", "[-0.00e7]"]
)
def test_what_jsonb_would_change_is_not_exact(text: str) -> None:
    assert not parse(text).exact


@pytest.mark.parametrize(
    "text", ['[{"a": 1}, {"a": 1}]', "[0.0, 0, 1.10, 1E5, -1e-9, -10, -0.5]", '"-0.0"', '"\\u00e9"', "null"]
)
def test_what_jsonb_gives_back_by_value_is_exact(text: str) -> None:
    assert parse(text).exact


def test_a_byte_order_mark_does_not_reach_jsonb_and_is_kept_in_the_bytes() -> None:
    parsed = parse(b"\xef\xbb\xbf[1]")
    assert (parsed.text, parsed.exact) == ("[1]", False)


def test_the_last_of_duplicate_keys_counts() -> None:
    assert parse('{"a": 1, "a": 2}').value == {"a": 2}


def test_a_document_that_is_not_stored_as_jsonb_may_hold_what_jsonb_cannot() -> None:
    assert parse('["\\u0000", "\\ud83d", 1e999999]', stored=False).value[0] == "\0"
    assert fault("[NaN]", stored=False).reason is Reason.JSON_NOT_FINITE


@pytest.mark.parametrize("depth", [MAX_JSON_DEPTH + 1, 2_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_json_nested_too_deep_is_told_as_such(depth: int, opening: str, closing: str) -> None:
    levels = depth // (opening.count("[") + opening.count("{")) + 1
    assert fault(opening * levels + "1" + closing * levels).reason is Reason.JSON_TOO_DEEP
    assert fault(opening * levels).reason in (Reason.JSON_TOO_DEEP, Reason.NOT_JSON)


def test_the_deepest_allowed_json_passes() -> None:
    assert parse("[" * MAX_JSON_DEPTH + "]" * MAX_JSON_DEPTH).exact
    error = fault("[" * MAX_JSON_DEPTH + "{}" + "]" * MAX_JSON_DEPTH)
    assert (error.reason, error.place.column) == (Reason.JSON_TOO_DEEP, MAX_JSON_DEPTH + 1)


def test_brackets_in_text_are_no_depth() -> None:
    assert parse(json.dumps("[" * 5_000)).exact


def test_integers_longer_than_python_converts_at_once_pass() -> None:
    assert len(str(parse("9" * 4_000).value)) == 4_000
    parsed = parse("[" + "9" * (sys.get_int_max_str_digits() + 1) + "]")
    assert parsed.exact


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values, st.booleans())
@settings(deadline=None)
def test_all_that_json_can_say_and_postgresql_can_store_passes(value: object, ensure_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=1)
    if "\\u0000" in json.dumps(value).replace("\\\\", ""):
        assert fault(text).reason is Reason.UNSTORABLE_TEXT
    else:
        assert parse(text).value == value


def _containers(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects, with the same few keys again and again, and lists, of texts that may be JSON."""
    keys = st.sampled_from(['"a"', '"b" ', '"\\u0061"', '"a\\""'])
    pairs = st.lists(st.tuples(keys, children).map(":".join), max_size=3)
    return pairs.map(lambda found: "{" + ",".join(found) + "}") | st.lists(children, max_size=3).map(
        lambda found: "[" + ",".join(found) + "]"
    )


#: What makes a value differ from what its text says, or a quote from the end of a string.
_TOKENS = st.sampled_from(
    [
        "{", "}", "[", "]", ",", ":", '"', '"a"', '"a":', '"a" :', '"b":', '"a":1,', '"a":1', "0", "-0", "1",
        "-0.0", "1.5", "1e5", "123456789012345678901",
        "true", "null", '"\\""', '"\\\\"', '"\\u0061":', '"\\u0022"', '"\\u0000"', '"\\ud800"', '": "',
        '"x:\\":-0"', " ", "\n", "NaN", "é",
    ]
)  # fmt: skip


def _items(value: Any) -> Iterator[Any]:
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _items(child)


@settings(max_examples=500)
@given(st.lists(_TOKENS, max_size=14).map("".join) | st.recursive(_TOKENS, _containers, max_leaves=8))
def test_what_is_read_plainly_says_what_the_careful_reader_finds(text: str) -> None:
    plain = read_plain_json(text.encode())
    if plain is not None:
        reading = json_text._Reading(exact=True)
        assert repr(json_text._read_carefully("a.json", text, reading)) == repr(plain.value)
        assert plain.containers == sum(type(item) in (dict, list) for item in _items(plain.value))
        assert reading.exact
        assert not reading.beyond_numeric


@given(st.text(alphabet='{}[]",:\\u0de8 \n1-.e', max_size=40))
@settings(deadline=None)
def test_any_text_is_json_or_malformed(text: str) -> None:
    with suppress(Malformed):
        assert parse(text).text == text


literals = st.from_regex(r"-?(0|[1-9][0-9]{0,6})(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,12})?", fullmatch=True)
borders = st.tuples(
    st.sampled_from(["0", "0.0", "1", "-9", "10", "0.01", "123.456", "0.000", "99.90"]),
    st.sampled_from(["131071", "131072", "131070", "-16383", "-16384", "-16382", "1073741822", "1073741824"])
    | st.sampled_from(["-1073741822", "-1073741824", "131069", "131074", "-16381", "-16385", "2147483648"]),
).map("e".join)


def test_postgresql_agrees_on_every_number_and_escape(empty_database_url: str) -> None:
    """One connection for all examples: hypothesis draws them within."""

    async def run() -> None:
        connection = await asyncpg.connect(DatabaseAddress.parse(empty_database_url).dsn)
        try:
            for text, ours in examples:
                try:
                    await connection.execute("SELECT pg_column_size($1::jsonb)", text)
                    theirs = True
                except asyncpg.DataError:
                    theirs = False
                assert ours is theirs, text
        finally:
            await connection.close()

    examples: list[tuple[str, bool]] = []

    @given(literals | borders)
    @settings(deadline=None)
    def collect_number(literal: str) -> None:
        examples.append((f"[{literal}]", fits_numeric(literal)))

    @given(
        st.lists(
            st.sampled_from(["\\u0000", "\\ud83d", "\\ude00", "\\\\", "\\n", "x", "u0000", "\\uD83D"]), max_size=6
        )
    )
    def collect_escapes(parts: list[str]) -> None:
        text = f'"{"".join(parts)}"'
        try:
            parse(text)
            examples.append((text, True))
        except Malformed:
            examples.append((text, False))

    collect_number()
    collect_escapes()
    asyncio.run(run())
    assert len(examples) > 100
