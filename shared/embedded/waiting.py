"""Waiting for a server to answer, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_PAUSE_S: Final = 0.02


def wait_until(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Ask again and again until `condition` holds or `deadline_s` seconds are over; whether it held."""
    end = time.monotonic() + deadline_s
    while True:
        if condition():
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(_PAUSE_S)
