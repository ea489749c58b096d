"""JSON text: a document parsed once, with what PostgreSQL's jsonb would make of it.

The text itself goes into jsonb unchanged, so it is judged as PostgreSQL would: the grammar of RFC 8259, numbers
that `numeric` holds, strings without U+0000 and lone surrogates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final, NoReturn

from shared.documents import Document
from shared.errors import Malformed
from shared.formats.limits import (
    MAX_DIGITS_AFTER_POINT,
    MAX_DIGITS_BEFORE_POINT,
    MAX_EXPONENT,
    MAX_JSON_DEPTH,
)
from shared.formats.plain_json import PlainJson, read_plain_json
from shared.formats.text import BYTE_ORDER_MARK, decode, place_at
from shared.frozen import frozen
from shared.reasons import Reason

#: Shorter literals without an exponent are far within `numeric`.
_SURE_DIGITS: Final = 1000
#: Python refuses to convert more digits than 4300 at once.
_MAX_INT_DIGITS: Final = 4000

_NUL_ESCAPE: Final = b"\\u0000"
_SUSPECT_ESCAPES: Final = (_NUL_ESCAPE, b"\\ud", b"\\uD")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_TOKEN: Final = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    r"|(?P<constant>NaN|-?Infinity)|(?P<number>-?[0-9][0-9.eE+-]*+)|(?P<open>[\[{])|(?P<close>[\]}])",
    re.DOTALL,
)
_NUMBER: Final = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


@frozen
class JsonText:
    """A well-formed JSON document.

    `text` is what goes into jsonb: the document without its byte order mark. `exact` tells that jsonb gives the
    document back by value: there is no such mark, no duplicate key (jsonb keeps the last) and no negative zero
    (jsonb makes it positive). `plain` is there where `value` says all that jsonb will hold.
    """

    name: str
    text: str
    value: Any
    exact: bool
    plain: PlainJson | None


def parse_json(document: Document, *, stored: bool = True) -> JsonText:
    """Return the document parsed; raises Malformed where it is not JSON, or where jsonb could not hold it.

    Without `stored` the document is not meant for jsonb: numbers and text beyond what PostgreSQL stores are fine.
    """
    decoded = decode(document)
    text = decoded.removeprefix(BYTE_ORDER_MARK)
    reading = _Reading(exact=len(text) == len(decoded))
    plain = read_plain_json(document.content) if reading.exact else None
    if plain is not None:
        value, most_deep = plain.value, plain.containers
    else:
        value = _read_carefully(document.name, text, reading)
        most_deep = text.count("[") + text.count("{")
    if most_deep > MAX_JSON_DEPTH and _is_too_deep(value):
        _raise_too_deep(document.name, text)
    if stored:
        if reading.beyond_numeric:
            _raise_out_of_range(document.name, text)
        # What is plain has no half of a surrogate pair: orjson reads none.
        suspects = _SUSPECT_ESCAPES if plain is None else (_NUL_ESCAPE,)
        if any(suspect in document.content for suspect in suspects):
            _refuse_unstorable_escapes(document.name, text)
    return JsonText(document.name, text, value, reading.exact, plain)


def _read_carefully(name: str, text: str, reading: _Reading) -> Any:
    """Return the value of a JSON text, and note in `reading` what the value doesn't show; raises Malformed."""
    try:
        return reading.decoder().decode(text)
    except _NotFiniteError:
        _raise_not_finite(name, text)
    except JSONDecodeError as error:
        # Some of Python's sentences wait for a place of their own: "Unterminated string starting at".
        what = error.msg.removesuffix(" at").removesuffix(" starting")
        raise Malformed(
            Reason.NOT_JSON,
            f"{name} is not JSON: {what} in line {error.lineno}, column {error.colno}.",
            place_at(name, text, error.pos),
        ) from None
    except RecursionError:
        _raise_too_deep(name, text)


def fits_numeric(literal: str) -> bool:
    """Tell whether PostgreSQL's numeric can hold the number of this JSON literal."""
    match = _NUMBER.fullmatch(literal)
    if match is None:
        return False
    whole, fraction, exponent_text = match[1], match[2] or "", match[3] or "0"
    if len(exponent_text) > len(str(MAX_EXPONENT)) + 1:
        return False
    exponent = int(exponent_text)
    if abs(exponent) > MAX_EXPONENT or len(fraction) - exponent > MAX_DIGITS_AFTER_POINT:
        return False
    digits = whole + fraction
    leading_zeros = len(digits) - len(digits.lstrip("0"))
    if leading_zeros == len(digits):
        return True
    return len(whole) + exponent - leading_zeros <= MAX_DIGITS_BEFORE_POINT


class _NotFiniteError(Exception):
    """The parser met NaN or Infinity."""


class _Reading:
    """What the parser meets on its way that the values alone don't show."""

    __slots__ = ("beyond_numeric", "exact")

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact
        self.beyond_numeric = False

    def decoder(self) -> JSONDecoder:
        return JSONDecoder(
            object_pairs_hook=self._object,
            parse_float=self._float,
            parse_int=self._int,
            parse_constant=self._constant,
        )

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            self.exact = False
        return value

    def _float(self, literal: str) -> float:
        value = float(literal)
        if (len(literal) > _SURE_DIGITS or "e" in literal or "E" in literal) and not fits_numeric(literal):
            self.beyond_numeric = True
        if literal[0] == "-" and not any("1" <= digit <= "9" for digit in re.split("[eE]", literal)[0]):
            self.exact = False
        return value

    def _int(self, literal: str) -> int | Decimal:
        if literal == "-0":
            self.exact = False
        if len(literal) > _SURE_DIGITS:
            if not fits_numeric(literal):
                self.beyond_numeric = True
            if len(literal) > _MAX_INT_DIGITS:
                return Decimal(literal)
        return int(literal)

    def _constant(self, _literal: str) -> NoReturn:
        raise _NotFiniteError


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            child
            for container in level
            if (kind := type(container)) is dict or kind is list
            for child in (container.values() if kind is dict else container)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _tokens(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _TOKEN.finditer(text) if match.lastgroup)


def _raise_not_finite(name: str, text: str) -> NoReturn:
    token = next(match for match in _tokens(text) if match.lastgroup == "constant")
    raise Malformed(
        Reason.JSON_NOT_FINITE,
        f"{name} contains {token[0]}, which is no JSON number.",
        place_at(name, text, token.start()),
    )


def _raise_too_deep(name: str, text: str) -> NoReturn:
    depth = 0
    offset = 0
    for token in _tokens(text):
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if depth > MAX_JSON_DEPTH:
            offset = token.start()
            break
    raise Malformed(
        Reason.JSON_TOO_DEEP,
        f"{name} nests objects and lists more than {MAX_JSON_DEPTH} deep.",
        place_at(name, text, offset),
    )


def _raise_out_of_range(name: str, text: str) -> NoReturn:
    token = next(match for match in _tokens(text) if match.lastgroup == "number" and not fits_numeric(match[0]))
    raise Malformed(
        Reason.JSON_NUMBER_OUT_OF_RANGE,
        f"{name} contains the number {token[0][:40]}, which PostgreSQL's numeric can't hold.",
        place_at(name, text, token.start()),
    )


def _refuse_unstorable_escapes(name: str, text: str) -> None:
    """Raise Malformed at the first escape of U+0000 or of half a surrogate pair; an escaped backslash is text."""
    high: re.Match[str] | None = None
    fault: re.Match[str] | None = None
    for escape in _ESCAPE.finditer(text):
        code = int(escape[1], 16) if escape[1] else -1
        is_low = 0xDC00 <= code <= 0xDFFF
        if high is not None:
            if is_low and escape.start() == high.end():
                high = None
                continue
            fault = high
            break
        if code == 0 or is_low:
            fault = escape
            break
        if 0xD800 <= code <= 0xDBFF:
            high = escape
    fault = fault or high
    if fault is not None:
        what = "U+0000" if fault[0] == "\\u0000" else "half a surrogate pair"
        raise Malformed(
            Reason.UNSTORABLE_TEXT,
            f"{name} contains {what} ({fault[0]}), which PostgreSQL can't store.",
            place_at(name, text, fault.start()),
        )
