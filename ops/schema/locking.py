"""The lock under which the schema is changed."""

from __future__ import annotations

import asyncpg

from ops.schema.queries import QUERIES


async def take_lock(connection: asyncpg.Connection) -> None:
    """Wait until no other apply, revert or Prisma migration works on this database; holds for the transaction."""
    # A unique key on a large table takes longer than an ordinary statement may; but a table that somebody holds
    # must not be waited for long, since everybody else then waits behind us.
    await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
    await connection.execute(QUERIES["lock"])
    await connection.execute("SET LOCAL lock_timeout = '5s'")
