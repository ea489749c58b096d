"""Stopping: no process publishes, and no worker takes anything up, from here on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import redis

from ops.dlq.asking import who
from ops.phase.acknowledging import Answers, await_answers
from shared import queues
from shared.broker.client import make_client
from shared.broker.holds import Hold, Holds
from shared.phase.change import PhaseChange, latest
from shared.phase.history import in_force, lock, record
from shared.phase.redis_copy import read_copy, write_copy
from shared.phase.remembered import remember
from shared.settings import Phase, Settings

_WHY = "emergency rollback"


@dataclass(frozen=True, slots=True)
class Stopped:
    """How far the word got: `redis` says why it did not get there, None where it did."""

    change: PhaseChange
    answers: Answers
    redis: str | None
    waiting: int  # messages that stay in Redis


async def stop_publishing(
    connection: asyncpg.Connection, settings: Settings, redis_url: str, *, has_runferry: bool
) -> Stopped:
    """Set the phase to files-only, hold every queue, and wait until the live processes say that they follow."""
    change = await _record(connection, settings, redis_url, has_runferry=has_runferry)
    # This host's processes stay in the phase even where nothing else is left that knows of it.
    await asyncio.to_thread(remember, settings.home, change)
    try:
        waiting = await asyncio.to_thread(_hold, settings, redis_url, change)
    except (redis.RedisError, OSError) as error:
        return Stopped(change, Answers((), (), ()), str(error), 0)
    answers = await asyncio.to_thread(await_answers, settings, redis_url, change)
    return Stopped(change, answers, None, waiting)


async def _record(
    connection: asyncpg.Connection, settings: Settings, redis_url: str, *, has_runferry: bool
) -> PhaseChange:
    copy = await asyncio.to_thread(_copy, settings, redis_url)
    if not has_runferry:
        return PhaseChange(Phase.FILES_ONLY, datetime.now(UTC), who(), _WHY)
    async with connection.transaction():
        await lock(connection)
        truth = await in_force(connection)
        return await record(
            connection,
            Phase.FILES_ONLY,
            who=who(),
            why=_WHY,
            forced=False,
            evidence={},
            after=latest(truth, copy),
        )


def _copy(settings: Settings, redis_url: str) -> PhaseChange | None:
    client = make_client(redis_url, timeout_s=settings.connect_timeout.total_seconds(), retried=False)
    try:
        return read_copy(client, settings.namespace)
    except (redis.RedisError, OSError):
        return None
    finally:
        client.close()


def _hold(settings: Settings, redis_url: str, change: PhaseChange) -> int:
    client = make_client(redis_url, timeout_s=settings.connect_timeout.total_seconds(), retried=False)
    try:
        write_copy(client, settings.namespace, change)
        holds = Holds(client, settings.namespace)
        for queue in queues.ALL:
            holds.put(queue, Hold(change.who, _WHY, change.at))
        return sum(int(client.hlen(f"{settings.namespace}:{queue}.msgs")) for queue in queues.ALL)
    finally:
        client.close()
