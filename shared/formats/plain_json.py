"""Plain JSON: texts in which nothing can surprise are read by compiled code; all others need the careful reader."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

#: Integers up to here have 64 bits, which orjson reads exactly.
_INT_END: Final = 10**18
#: Within these a float is spelled without an exponent, as the decimal is that it was read from.
_FLOAT_START: Final = 1e-4
_FLOAT_END: Final = 1e15

#: What of a text belongs to numbers: digits and points as zeros, the letter of an exponent, all else as spaces.
_NUMBER_MARKS: Final = bytes(
    ord("0") if byte in b"0123456789." else ord("e") if byte in b"eE" else ord(" ") for byte in range(256)
)
#: A decimal of up to 15 digits is the only one of that length that its float can have come from (IEEE 754, binary64).
_LONG_NUMBER: Final = b"0" * 16
_EXPONENT: Final = b"0e"


class PlainJson(NamedTuple):
    """The value of a plain JSON text; it is at most as deep as it has `containers`, which are its objects and lists."""

    value: dict[str, Any] | list[Any]
    containers: int
    has_fractions: bool


def read_plain_json(content: bytes) -> PlainJson | None:
    """Return the value of a JSON text in UTF-8; None where it is not JSON, or where the value alone might not tell
    what it says.

    A value that is returned has no key twice, no number but short integers (-0 is none of them) and short fractions,
    and at most orjson's depth. So jsonb holds it exactly, but for escapes of what PostgreSQL can't store, and orjson
    writes each number as the decimal that it is.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict and type(value) is not list:
        return None
    strings = 0
    containers = 0
    zeros = has_fractions = False
    pending: list[Any] = [value]
    for item in pending:
        kind = type(item)
        if kind is str:
            strings += 1
        elif kind is dict:
            containers += 1
            strings += len(item)
            pending.extend(item.values())
        elif kind is list:
            containers += 1
            pending.extend(item)
        elif kind is float:
            if item.is_integer() or not _FLOAT_START <= abs(item) < _FLOAT_END:
                return None
            has_fractions = True
        elif kind is int and not -_INT_END < item < _INT_END:
            return None
        elif item == 0 and kind is int:
            zeros = True
    if (zeros and b"-0" in content) or (has_fractions and not has_short_numbers(content)):
        return None
    # Every quote that is not escaped begins or ends a string: one that is in the text and not in the value belongs to
    # a key that was there twice.
    beyond_strings = content.count(b'"') - 2 * strings
    if beyond_strings:
        if b"\\\\" in content:  # after an escaped backslash a quote may end a string or not
            return None
        if beyond_strings != content.count(b'\\"'):
            return None
    return PlainJson(value, containers, has_fractions)


def has_short_numbers(content: bytes) -> bool:
    """Say whether no number of a JSON text in UTF-8 can have more than 15 digits, or an exponent."""
    marks = content.translate(_NUMBER_MARKS)
    return _LONG_NUMBER not in marks and _EXPONENT not in marks
