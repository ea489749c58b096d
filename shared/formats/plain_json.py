"""Plain JSON: texts in which nothing can surprise are read by compiled code; all others need the careful reader."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

#: Integers up to here have 64 bits, which orjson reads exactly.
_INT_END: Final = 10**18


class PlainJson(NamedTuple):
    """The value of a plain JSON text, and how many objects and lists it has: it can't be deeper than that."""

    value: dict[str, Any] | list[Any]
    containers: int


def read_plain_json(content: bytes) -> PlainJson | None:
    """Return the value of a JSON text in UTF-8; None where it is not JSON, or where the value alone might not tell
    what it says.

    A value that is returned has no key twice, no number but short integers (-0 is none of them), and at most orjson's
    depth. So jsonb holds it exactly, but for escapes of what PostgreSQL can't store.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict and type(value) is not list:
        return None
    strings = 0
    containers = 0
    zeros = False
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
        elif kind is float or (kind is int and not -_INT_END < item < _INT_END):
            return None
        elif item == 0 and kind is int:
            zeros = True
    if zeros and b"-0" in content:
        return None
    # Every quote that is not escaped begins or ends a string: one that is in the text and not in the value belongs to
    # a key that was there twice.
    beyond_strings = content.count(b'"') - 2 * strings
    if beyond_strings:
        if b"\\\\" in content:  # after an escaped backslash a quote may end a string or not
            return None
        if beyond_strings != content.count(b'\\"'):
            return None
    return PlainJson(value, containers)
