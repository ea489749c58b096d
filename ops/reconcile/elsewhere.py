"""Elsewhere: what waits besides the outputs on disk, and may still need their files. Asked by `--final`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncpg

from ops.reconcile.options import ReconcileOptions
from ops.reconcile.queries import QUERIES
from shared import queues
from shared.broker.broker import RunferryBroker


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Open dead letters, and outputs or messages in the queues, of what was looked at; on disk or not."""

    open_letters: int
    in_flight: int

    @property
    def is_quiet(self) -> bool:
        """Nothing waits."""
        return not (self.open_letters or self.in_flight)


async def look_elsewhere(
    connection: asyncpg.Connection, broker: RunferryBroker, options: ReconcileOptions
) -> Elsewhere:
    """Return what waits now: of the named runs, else in all queues and of all letters."""
    # The queues first: what dies meanwhile is seen as a letter.
    if options.run_ids:
        flying = await asyncio.to_thread(broker.in_flight_many, options.run_ids)
        in_flight = sum(map(len, flying.values()))
    else:
        depths = await asyncio.to_thread(broker.depths)
        in_flight = sum(depths[queue].pending + depths[queue].dead for queue in (queues.LIVE, queues.BACKFILL))
    letters: int = await connection.fetchval(QUERIES["open_letters"], list(options.run_ids) or None)
    return Elsewhere(letters, in_flight)
