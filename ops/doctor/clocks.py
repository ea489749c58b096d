"""Clocks: how far a store's is from this machine's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ops.doctor.finding import Finding, good, warning, wrong

#: Outputs of a pipeline are stamped by Redis, those of files by their machine: what is compared must not drift far.
_NOTABLE: Final = timedelta(seconds=1)
_WRONG: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a store's clock said between two looks at this machine's."""

    before: datetime
    store: datetime
    after: datetime

    @property
    def offset(self) -> timedelta:
        """How far the store is ahead at least; what the answer's way may explain is not held against it."""
        if self.store > self.after:
            return self.store - self.after
        if self.store < self.before:
            return self.store - self.before
        return timedelta(0)


def judge_clock(store: str, reading: Reading) -> Finding:
    """Return what a reading says of a store's clock."""
    name = f"clock of {store}"
    offset = reading.offset
    if abs(offset) < _NOTABLE:
        return good(name, "agrees with this machine's")
    side = "ahead of" if offset > timedelta(0) else "behind"
    detail = f"is {abs(offset).total_seconds():.1f} s {side} this machine's"
    todo = "Keep both machines' clocks right by NTP: outputs are ordered by time."
    return wrong(name, detail, todo) if abs(offset) >= _WRONG else warning(name, detail, todo)
