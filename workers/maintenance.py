"""Maintenance: what one worker process of all does now and then, so that nothing waits for a person.

It files what landed in Dramatiq's dead queues, and settles the status of runs that went quiet.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import asyncpg
import structlog

from shared import queues
from shared.broker.broker import RunferryBroker
from shared.dead_letters.sweeping import sweep
from workers.held_state import QUERIES
from workers.transaction import Transactor

INTERVAL: Final = timedelta(seconds=5)
_QUIET_RUNS_AT_ONCE: Final = 200

log = structlog.get_logger(__name__)


async def maintain(connection: asyncpg.Connection, broker: RunferryBroker, transactor: Transactor) -> None:
    """Do one round; whoever is not first leaves it to the one who is."""
    async with connection.transaction(isolation="read_committed"):
        if not await connection.fetchval(QUERIES["try_to_lead"]):
            return
        settled = await transactor.settle_quiet(connection, _QUIET_RUNS_AT_ONCE)
    if settled:
        log.info("settled quiet runs", runs=settled)
    filed = await sweep(connection, broker, queues.ALL)
    if filed:
        log.warning("filed dead messages of Redis", letters=filed)
