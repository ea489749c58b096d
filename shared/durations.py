"""Durations as people write them: `30`, `30s`, `10m`, `24h`, `7d`, `1h30m`, ISO 8601."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PARTS: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*")


def parse_duration(value: object) -> object:
    """Return the duration that `value` writes; what has another form (ISO 8601) is left to pydantic."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return timedelta(seconds=float(text))
    if re.fullmatch(f"({_PARTS.pattern})+", text):
        return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(text)))
    return value


def write_duration(duration: timedelta) -> str:
    """Return the duration in the largest unit that divides it: `7d`, `10s`, `500ms`."""
    milliseconds = round(duration.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(_UNITS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


#: A setting's or an option's duration: seconds without a unit.
Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(0))]
