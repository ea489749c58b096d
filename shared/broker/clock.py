"""Redis' clock: the one clock that all producers and workers share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import redis

from shared.broker.scripts import Scripts
from shared.clock_reading import read_clock

#: How long the last stamp of a run and stage is remembered; Redis' clock must not be set back by more.
_REMEMBERED: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def redis_now(client: redis.Redis) -> datetime:
    """Return Redis' time in UTC; raises redis.RedisError."""
    seconds, microseconds = client.time()
    return _EPOCH + timedelta(seconds=seconds, microseconds=microseconds)


def ahead_of_redis(client: redis.Redis) -> timedelta | None:
    """Return how far this machine's clock is ahead of Redis', at least; None where Redis does not answer."""
    try:
        return -read_clock(lambda: redis_now(client)).offset
    except redis.RedisError:
        return None


def stamp(scripts: Scripts, run_id: str, stage: int, after: datetime | None = None) -> datetime:
    """Return Redis' time, or a microsecond after the last stamp of that run and stage where that is later.

    `after` is a stamp that was given while Redis was away: from now on all are later.
    """
    floor = 0 if after is None else (after - _EPOCH) // timedelta(microseconds=1)
    microseconds = scripts.run("stamp", run_id, int(stage), int(_REMEMBERED.total_seconds()), floor)
    return _EPOCH + timedelta(microseconds=int(microseconds))
