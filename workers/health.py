"""Health, for container health checks: whether a worker process of this host announced itself lately, or whether a
scheduler leads.

`python -m workers.health` exits with 0 where one did, else with 1; it needs Redis alone. With `--scheduler` it asks
PostgreSQL alone, and any scheduler will do: those that don't lead wait for their turn.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import asyncpg

from shared.broker.broker import make_broker
from shared.command import DIFFERENCE, DONE, USAGE, say
from shared.database import connect
from shared.errors import RunferryError
from shared.settings import Settings
from shared.stores import Stores, given_stores
from workers.held_state import QUERIES


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    if arguments not in ([], ["--scheduler"]):
        say("workers.health: it takes nothing, or --scheduler.")
        return USAGE
    try:
        settings = Settings.from_environment()
        stores = given_stores(settings)
        if stores is None:
            say("workers.health: set DATABASE_URL and REDIS_URL.")
            return USAGE
        healthy = asyncio.run(_is_scheduled(stores, settings)) if arguments else _is_announced(stores, settings)
    except (RunferryError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        say(f"workers.health: {error}")
        return DIFFERENCE
    return DONE if healthy else DIFFERENCE


def _is_announced(stores: Stores, settings: Settings) -> bool:
    broker = make_broker(stores.redis_url, settings, patience=settings.emit_timeout)
    return any(worker.host == socket.gethostname() for worker in broker.live_workers())


async def _is_scheduled(stores: Stores, settings: Settings) -> bool:
    connection = await connect(stores.database, settings)
    try:
        leads: bool = await connection.fetchval(QUERIES["is_scheduled"])
        return leads
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
