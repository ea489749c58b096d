"""Asking both stores once whether they answer, so that a command can say what is wrong before it starts."""

from __future__ import annotations

import asyncio

import redis

from shared.broker.client import make_client
from shared.connection_errors import explain_redis
from shared.database import connect
from shared.errors import RunferryError
from shared.settings import Settings
from shared.stores import Stores


def check_stores(stores: Stores, settings: Settings) -> None:
    """Return when both stores answer; raises SettingsError, DatabaseAway or QueueAway otherwise."""
    check_database(stores, settings)
    check_redis(stores, settings)


def check_database(stores: Stores, settings: Settings) -> None:
    """Return when PostgreSQL lets this user in; raises SettingsError or DatabaseAway otherwise."""

    async def ask() -> None:
        connection = await connect(stores.database, settings)
        await connection.close()

    asyncio.run(ask())


def check_redis(stores: Stores, settings: Settings) -> None:
    """Return when Redis lets this user in; raises SettingsError or QueueAway otherwise."""
    client = make_client(stores.redis_url, timeout_s=settings.connect_timeout.total_seconds(), retried=False)
    try:
        client.ping()
    except redis.RedisError as error:
        raise explain_redis(error, stores.redis_url) from error
    finally:
        client.close()


def faults(stores: Stores, settings: Settings) -> list[str]:
    """Return a sentence for each store that does not answer."""
    found = []
    for check in (check_database, check_redis):
        try:
            check(stores, settings)
        except RunferryError as error:
            found.append(str(error))
    return found
