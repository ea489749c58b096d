"""The first and the last moment that an output may have: what is beyond is taken for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

#: asyncpg writes the first and the last moment of Python as infinity, and reads that back without a zone; and a moment
#: in the outermost days has none in some zones. A model of an unset time is the year 1.
EARLIEST: Final = datetime(1, 1, 3, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 29, tzinfo=UTC)


def within_bounds(moment: datetime) -> datetime:
    """Return the moment, or the bound that it is beyond."""
    return min(max(moment, EARLIEST), LATEST)
