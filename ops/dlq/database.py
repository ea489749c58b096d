"""The connection of an `ops dlq` command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from shared.connection_errors import DATABASE_LOST, explain_database
from shared.database import connect
from shared.errors import SchemaError
from shared.schema_version import check
from shared.settings import Settings
from shared.stores import Stores, resolve_stores

T = TypeVar("T")


def with_database(settings: Settings, function: Callable[[asyncpg.Connection, Stores], Awaitable[T]]) -> T:
    """Run `function` with an open connection; raises UsageError or DatabaseAway with a sentence for the user."""
    stores = resolve_stores(settings)

    async def run() -> T:
        connection = await connect(stores.database, settings)
        try:
            await check(connection)
            return await function(connection, stores)
        except DATABASE_LOST as error:
            raise explain_database(error, stores.database) from error
        except asyncpg.UndefinedTableError as error:
            raise SchemaError(
                f"A table went away while this ran ({error}): somebody ran `ops emergency-rollback` or "
                "`ops schema revert`. What was done before stays done."
            ) from error
        finally:
            # After Ctrl-C or a lost connection a polite goodbye may never be answered.
            connection.terminate()

    return asyncio.run(run())
