"""Rates as people write them: `50/s`, `50`, `600/m`."""

from __future__ import annotations

import re
from typing import Final

_RATE: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?:/\s*(?P<unit>s|m|h))?")
_SECONDS: Final = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_rate(text: str) -> float:
    """Return a rate as messages a second; raises ValueError where it is none, or none above 0."""
    match = _RATE.fullmatch(text.strip())
    if match is None or float(match["number"]) <= 0:
        raise ValueError(f"{text!r} is no rate: write 50/s, or 600/m.")
    return float(match["number"]) / _SECONDS[match["unit"]]
