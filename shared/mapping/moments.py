"""Moments: times as the web app's `timestamp(3)` columns hold them, and as runferry's JSON does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

MICROSECONDS_PER_MILLISECOND: Final = 1000


def whole_milliseconds(moment: datetime) -> datetime:
    """Return the moment in UTC, cut to milliseconds; one without a zone is taken for UTC.

    Cut, never rounded: PostgreSQL would round, and then a row could be later than the event that it tells of.
    """
    if moment.tzinfo is UTC:
        utc = moment
    else:
        utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond - utc.microsecond % MICROSECONDS_PER_MILLISECOND)
