"""The options of a message that mean something here, read so that nothing which another client wrote can surprise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

#: Options of a message that count its failed attempts and keep the time of the first failure.
ATTEMPTS: Final = "attempts"
FIRST_FAILED_AT: Final = "first_failed_at"
#: What a stock producer delays a message until, in ms since 1970.
ETA: Final = "eta"
#: Dramatiq's worker takes it from a message as it is, and a thread that finds no exception classes there ends.
_THROWS: Final = "throws"

#: Nothing is tried as often.
_MOST_ATTEMPTS: Final = 1_000_000
_MOST_MS: Final = 2**53


def drop_unreadable(options: dict[str, Any]) -> None:
    """Take out of the options of a message what does not say what it should."""
    for name, is_readable in _READABLE.items():
        if name in options and not is_readable(options[name]):
            del options[name]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= _MOST_ATTEMPTS


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_time(value: object) -> bool:
    # NaN is neither less nor greater.
    return isinstance(value, int | float) and -_MOST_MS < value < _MOST_MS


def _never(_value: object) -> bool:
    return False


_READABLE: Final[Mapping[str, Callable[[object], bool]]] = {
    ATTEMPTS: _is_count,
    FIRST_FAILED_AT: _is_moment,
    ETA: _is_time,
    _THROWS: _never,
}
