"""Strange and malformed JSON documents, each with what must become of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from shared.reasons import Reason

WHOLE = '{"trends": [{"name": "A", "signals": ["x", "y"], "strength": 0.5, "new": true, "old": null}]}'


@dataclass(frozen=True)
class StrangeJson:
    """One document; `reason` is None where it must be stored and read back equal."""

    content: bytes
    reason: Reason | None


def documents() -> list[StrangeJson]:
    """All of them, each different."""
    found: dict[bytes, Reason | None] = {}
    for reason, contents in (
        (Reason.NOT_JSON, _not_json()),
        (Reason.EMPTY_FILE, [b"", b" ", b"\n", b"\t\r\n", b"\xef\xbb\xbf"]),
        (Reason.NOT_UTF8, _not_utf8()),
        (Reason.JSON_SHAPE, [b"[]", b'"text"', b"1", b"true", b"null", b'[{"trends": []}]', b"-0.0", b'""']),
        (Reason.JSON_NOT_FINITE, _not_finite()),
        (Reason.JSON_TOO_DEEP, _too_deep()),
        (Reason.JSON_NUMBER_OUT_OF_RANGE, _out_of_range()),
        (Reason.UNSTORABLE_TEXT, _unstorable()),
        (None, _storable()),
    ):
        for content in contents:
            assert content not in found, content[:80]
            found[content] = reason
    return [StrangeJson(content, reason) for content, reason in found.items()]


def _not_json() -> list[bytes]:
    truncated = [WHOLE[:length].encode() for length in range(1, len(WHOLE))]
    wrong = [
        *('{"a": 1}}', '{"a": 1} x', '{"a": 1}{"b": 2}', '{"a": 1,}', '{"a": [1,]}', "{'a': 1}", "{a: 1}"),
        *('{"a" 1}', '{"a": 1 "b": 2}', '{"a": 01}', '{"a": +1}', '{"a": .5}', '{"a": 5.}', '{"a": 0x1F}'),
        *('{"a": 1e}', '{"a": 1e+}', '{"a": --1}', '{"a": 1_000}', '{"a": True}', '{"a": None}', '{"a": undefined}'),
        *('{"a": tru}', '{"a": nul}', '{"a": "\\x41"}', '{"a": "\\u12"}', '{"a": "\\u12G4"}', '{"a": "\\U0041"}'),
        *('{"a": "x}', '{"a": "\\"}', '{"a": 1, // comment\n"b": 2}', '{"a": /* c */ 1}', '# comment\n{"a": 1}'),
        *('{"a": 1;}', '{"a": (1)}', "{", "}", "[", "]", ",", ":", "{]", "[}", '{"a": [}', '{"a": {]}', "{{}}"),
        *('{"a": }', '{: 1}', '{1: 2}', '{null: 1}', '{"a": "b" "c"}', "```json\n{}\n```", "Here is it: {}"),
        *("\\{}", "{}\\", "\ufeff\ufeff{}", "{}\x00", "\x00{}", "<json/>", "a: 1", "---\na: 1", "{\u00a0}"),
    ]  # fmt: skip
    controls = [f'{{"a": "{chr(code)}"}}' for code in range(1, 32)]
    texts = [*wrong, *controls]
    return [*truncated, *(text.encode() for text in texts if text.encode() not in truncated)]


def _not_utf8() -> list[bytes]:
    bytes_alone = [b'{"a": "' + bytes([code]) + b'"}' for code in range(0x80, 0x100, 4)]
    others = [
        *(b'\xff\xfe{\x00}\x00', b'{"a": "\xc0\x80"}', b'{"a": "\xed\xa0\x80"}', b'{"a": "\xf5\x80\x80\x80"}'),
        *(b'{"a": "\xe2\x82"}', b'{"\xe9t\xe9": 1}', '{"ä": "ö"}'.encode("utf-16"), '{"ä": "ö"}'.encode("latin-1")),
    ]  # fmt: skip
    return [*bytes_alone, *others]


def _not_finite() -> list[bytes]:
    shapes = ('{{"a": {}}}', '{{"a": [1, {}]}}', '{{"a": {{"b": [[{}]]}}}}', '{{"a": "x", "b": {}, "c": 1}}')
    return [shape.format(value).encode() for shape in shapes for value in ("NaN", "Infinity", "-Infinity")]


def _too_deep() -> list[bytes]:
    return [
        *(b'{"a": ' + b"[" * depth + b"]" * depth + b"}" for depth in (600, 5_000, 200_000)),
        *(b'{"a": ' * depth + b"1" + b"}" * depth for depth in (600, 5_000, 100_000)),
    ]


def _out_of_range() -> list[bytes]:
    numbers = ("1e200000", "-1e200000", "1E+131072", "1e-20000", f"1{'0' * 131_072}", f"0.{'0' * 16_383}1")
    return [f'{{"a": {number}}}'.encode() for number in numbers]


def _unstorable() -> list[bytes]:
    escapes = (
        "\\u0000",
        "a\\u0000b",
        "\\ud800",
        "\\udfff",
        "\\ud83d x",
        "\\ude00\\ud83d",
        "\\\\\\u0000",
        "\\uDBFF",
    )
    return [
        *(f'{{"a": "{escape}"}}'.encode() for escape in escapes),
        *(f'{{"{escape}": 1}}'.encode() for escape in escapes),
        *(f'{{"a": [{{"b": ["{escape}"]}}]}}'.encode() for escape in escapes),
    ]


def _storable() -> list[bytes]:
    texts = [
        *("{}", '\t{"a":\t1}', ' { } ', '\ufeff{"a": 1}', '{"a": 1, "a": 2}', '{"a": {"b": 1, "b": {"c": [1]}}}'),
        *('{"": ""}', '{"": {"": [{"": null}]}}'),
        *('{"a": -0.0}', '{"a": -0}', '{"a": 1e400}', '{"a": 1e-400}', '{"a": 1.50}', '{"a": 1E5}', '{"a": 1e+5}'),
        *(f'{{"a": {10**100}}}', f'{{"a": -{10**40}.5}}', f'{{"a": {2**53 + 1}}}', f'{{"a": {2**64}}}', '{"a": 0.1}'),
        *(f'{{"a": 0.{"1" * 400}}}', f'{{"a": 1{"0" * 5_000}}}', '{"a": 123456789012345678901234567890.123456789}'),
        *('{"a": "\\\\u0000"}', '{"a": "\\\\ud800"}', '{"a": "\\ud83d\\ude00"}', '{"a": "😀"}', '{"a": "\\u0001"}'),
        *('{"a": "\\b\\f\\n\\r\\t\\/\\\\\\""}', '{"a": "\\u00e9"}', '{"a": "e\u0301"}', '{"a": "\u2028\u2029"}'),
        *('{"a": "\u202e\u200b\u200f"}', '{"a": "\x7f\x80\x9f"}', '{"a": "\ufffe\uffff\ufeff"}', '{"ключ": "값"}'),
        *('{"a\\nb": 1}', '{"a.b": 1, "a": {"b": 2}}', '{"$ref": "#/a"}', '{"__proto__": {}, "constructor": 1}'),
        *('{"a": [[], {}, [[]], [{}]]}', '{"a": [null, true, false]}', '\r\n{\r\n"a"\r\n:\r\n1\r\n}\r\n'),
        *('{"a": "' + "x" * 100_000 + '"}', '{"a": "' + "字" * 50_000 + '"}', json.dumps({"a": list(range(20_000))})),
        *(json.dumps({f"k{n}": n for n in range(2_000)}), '{"' + "k" * 10_000 + '": 1}', '{"trends": 1}', WHOLE),
        *('{"a": ' + "[" * depth + "]" * depth + "}" for depth in (10, 100, 500)),
        *('{"a": ' * depth + "1" + "}" * depth for depth in (10, 100, 500)),
        *("'; DROP TABLE \"Run\"; --", "{}", "%s %(a)s {0}", "$1", "\\x41", "<script>alert(1)</script>", "NaN"),
    ]  # fmt: skip
    whole = [text if text.lstrip("\ufeff \t\r\n").startswith("{") else json.dumps({"a": text}) for text in texts]
    return [text.encode() for text in dict.fromkeys(whole)]
