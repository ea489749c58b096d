"""Clock readings: how far another machine's clock is from this one's, whatever the way of its answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Reading:
    """What another clock said between two looks at this machine's."""

    before: datetime
    other: datetime
    after: datetime

    @property
    def offset(self) -> timedelta:
        """How far the other is ahead at least; what the answer's way may explain is not held against it."""
        if self.other > self.after:
            return self.other - self.after
        if self.other < self.before:
            return self.other - self.before
        return timedelta(0)


def read_clock(ask: Callable[[], datetime]) -> Reading:
    """Return a reading of the clock that `ask` asks; raises what it raises."""
    before = this_clock()
    other = ask()
    return Reading(before, other, this_clock())


def this_clock() -> datetime:
    """Return this machine's time in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)
