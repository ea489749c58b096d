"""The schedule: which reports of the reconciler are due. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum


class Due(StrEnum):
    """A report that is due."""

    FULL = "full"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When reports are made; `full_at` is UTC."""

    sample_every: timedelta
    full_at: time

    def due(self, now: datetime, last_full: datetime | None, last_any: datetime | None) -> Due | None:
        """Return what is due at `now`, given when the last full report and the last of any kind were begun."""
        night = datetime.combine(now.date(), self.full_at, tzinfo=now.tzinfo)
        if night > now:
            night -= timedelta(days=1)
        if last_full is None or last_full < night:
            return Due.FULL
        if last_any is None or now - last_any >= self.sample_every:
            return Due.SAMPLE
        return None
