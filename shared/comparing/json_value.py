"""JSON by value, as jsonb has it: the last of equal keys counts, key order doesn't, numbers are decimals.

The canonical form is the same for the text that was written and for the one that PostgreSQL gives back, which
spells numbers, strings and white space in its own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from json import JSONDecoder
from typing import Any, Final

import orjson

from shared.formats.plain_json import has_short_numbers
from shared.rows import CanonicalJson

#: Integers of up to these many digits have 64 bits, which orjson reads and writes exactly.
_INT_DIGITS: Final = 18
_INT_END: Final = 10**_INT_DIGITS
#: Takes needless zeros away without rounding.
_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class JsonDifference:
    """The first place where two JSON values differ; a side that has nothing there is None."""

    path: str
    expected: str | None
    actual: str | None


def canonical_json(text: str) -> bytes:
    """Return the canonical form of a JSON text: equal values give equal bytes, different values different ones."""
    try:
        value = orjson.loads(text)
        if _has_inexact_number(value):
            value = parse_value(text)
    except orjson.JSONDecodeError:  # a number beyond what a float holds
        value = parse_value(text)
    return canonical_value(value)


def canonical_value(value: Any) -> bytes:
    """Return the canonical form of a JSON value that holds every number exactly: as a decimal, or as plain JSON."""
    try:
        return _dumps(value)
    except orjson.JSONEncodeError:  # orjson ends at a depth of 254
        return b"".join(_deep_parts(value))


def reads_as(text: str, canonical: CanonicalJson) -> bool:
    """Say whether a JSON text surely has this canonical form; False says nothing."""
    try:
        written = orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return False
    # An integer that was rounded has a point or an exponent by now; a fraction that was has too many digits here.
    return written == canonical.text and not (canonical.has_fractions and not has_short_numbers(text.encode()))


def parse_value(text: str) -> Any:
    """Return the value of a JSON text; numbers that aren't short integers are exact decimals."""
    return _DECODER.decode(text)


def first_difference(expected: str, actual: str) -> JsonDifference | None:
    """Return where two JSON texts differ by value, in order of sorted keys; None where they are equal."""
    pending: list[tuple[str, Any, Any]] = [("$", parse_value(expected), parse_value(actual))]
    while pending:
        path, one, other = pending.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            keys = sorted(one.keys() | other.keys(), reverse=True)
            pending.extend((f"{path}.{key}", one.get(key, _ABSENT), other.get(key, _ABSENT)) for key in keys)
        elif isinstance(one, list) and isinstance(other, list):
            for index in range(max(len(one), len(other)) - 1, -1, -1):
                pending.append((f"{path}[{index}]", _item(one, index), _item(other, index)))
        elif not _is_same_leaf(one, other):
            return JsonDifference(path, _text(one), _text(other))
    return None


def _has_inexact_number(value: Any) -> bool:
    """Tell whether orjson may have rounded a number, or read one that has several spellings."""
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is dict:
            pending.extend(item.values())
        elif kind is list:
            pending.extend(item)
        elif kind is float or (kind is int and not -_INT_END < item < _INT_END):
            return True
    return False


def _integer(literal: str) -> int | Decimal:
    return int(literal) if len(literal) <= _INT_DIGITS else Decimal(literal)


_DECODER: Final = JSONDecoder(parse_float=Decimal, parse_int=_integer)


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS)


def _plain(number: Decimal) -> int | orjson.Fragment:
    """Return the one spelling of a decimal; a short integer is written as every other short integer."""
    normal = number.normalize(_EXACT)
    if normal.adjusted() < _INT_DIGITS and normal == normal.to_integral_value():
        return int(normal)
    return orjson.Fragment(str(normal))


def _deep_parts(value: Any) -> Iterator[bytes]:
    """Give the parts of a canonical form of a value of any depth, in a grammar that is close to JSON."""
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, bytes):
            yield item
        elif isinstance(item, dict):
            yield b"{"
            pending.append(b"}")
            for key in sorted(item, reverse=True):
                pending.extend((item[key], _dumps(key) + b":"))
        elif isinstance(item, list):
            yield b"["
            pending.append(b"]")
            pending.extend(reversed(item))
        else:
            yield _dumps(item) + b","


def _item(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else _ABSENT


def _is_same_leaf(one: Any, other: Any) -> bool:
    """Compare what isn't two objects or two lists; for Python, True is 1."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _text(value: Any) -> str | None:
    if value is _ABSENT:
        return None
    try:
        return _dumps(value).decode()
    except orjson.JSONEncodeError:
        return b"".join(_deep_parts(value)).decode()
