"""Emptying: in one transaction, what the plan's reset leaves: empty tables, and nothing of runferry."""

from __future__ import annotations

import asyncpg

from ops.emergency_rollback.losses import Losses
from ops.emergency_rollback.queries import QUERIES
from ops.schema.locking import take_lock
from ops.schema.refusals import explained_refusals
from ops.schema.reversion import Reverted, revert
from workers.planning import MIGRATION_USER


async def empty(connection: asyncpg.Connection, losses: Losses, *, keep_users: bool) -> Reverted:
    """Empty the tables and drop runferry's schema; Prisma's bookkeeping then agrees with what is there.

    Raises SchemaError or DatabaseAway, and then nothing has changed.
    """
    with explained_refusals("ops emergency-rollback"):
        # The isolation of `revert`, which joins this transaction.
        async with connection.transaction(isolation="read_committed"):
            await take_lock(connection)
            await connection.execute(QUERIES["patience"])
            if losses.emptied:
                await connection.execute(f"TRUNCATE {', '.join(losses.emptied)} RESTART IDENTITY")
            if keep_users:
                await connection.execute(QUERIES["remove_migration_user"], MIGRATION_USER)
            return await revert(connection, even_with_dead_letters=True, keep_web_app_tables=True)
