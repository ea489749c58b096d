"""Collecting garbage: how often a process looks for cycles while it carries what millions of files hold."""

from __future__ import annotations

import gc
from typing import Final

#: Container objects that are made before the youngest are looked through; Python's own bound is 700.
_COLLECT_AFTER_OBJECTS: Final = 20_000


def collect_rarely() -> None:
    """Keep for good what a process made while it started, and look for cycles seldom; called once it has started.

    A run's objects form no cycles and go with it, so looking often finds nothing: it took 5 % of a producer's time.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)
