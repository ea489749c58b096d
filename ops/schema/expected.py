"""The structure that this version of runferry expects, kept in `expected.json` beside this file.

A test builds it anew from the migrations and compares. After a change of a migration, print the new one with
`python -m ops.schema EMPTY_DATABASE_URL > ops/schema/expected.json`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import asyncpg
from pydantic import BaseModel, ConfigDict

from ops.schema.migrations import numbered_migrations, prisma_migrations
from ops.schema.queries import QUERIES
from ops.schema.structure import Structure, read_structure
from shared.schema_version import WEB_APP_TABLES


class Expected(BaseModel):
    """What `verify` compares with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    web_app: Structure
    runferry: Structure


@cache
def expected() -> Expected:
    """Return the structure that the migrations of this version make."""
    return Expected.model_validate_json((files("ops.schema") / "expected.json").read_bytes())


async def build(connection: asyncpg.Connection) -> Expected:
    """Return what the migrations make in an empty database; all is rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("CREATE SCHEMA IF NOT EXISTS public; SET LOCAL search_path = public")
        for migration in prisma_migrations():
            await connection.execute(migration.script.decode())
        await connection.execute("CREATE SCHEMA runferry")
        await connection.execute(QUERIES["make_bookkeeping"])
        for numbered in numbered_migrations():
            await connection.execute(numbered.script.decode())
        web_app = await read_structure(connection, "public")
        return Expected(
            web_app=web_app.only(frozenset(WEB_APP_TABLES)), runferry=await read_structure(connection, "runferry")
        )
    finally:
        await transaction.rollback()
