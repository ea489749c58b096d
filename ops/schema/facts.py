"""Facts about the database that apply writes down, so that revert takes away what apply made and no more."""

from __future__ import annotations

import contextlib
import json
from enum import StrEnum
from typing import Any, Final

import asyncpg

from ops.schema.identifiers import quoted
from ops.schema.queries import QUERIES

#: The facts go with runferry's schema. Where the tables that apply made outlive it, this comment says so.
_MADE_HERE: Final = "runferry: made by ops schema apply"
_MARKED: Final = '"Run"'


class Fact(StrEnum):
    """What apply did; each with its value."""

    #: {"name": the schema of the web app's tables, "made": whether apply created it}
    WEB_APP_SCHEMA = "web_app_schema"
    #: {"made": whether apply created the schema runferry}
    RUNFERRY_SCHEMA = "runferry_schema"
    #: {}: apply deployed the web app's tables
    WEB_APP_TABLES = "web_app_tables"
    #: {"added": [index], "dropped": [{"table", "name", "columns"}]}: `apply --here` added the unique keys
    KEYS_HERE = "keys_here"


async def read_facts(connection: asyncpg.Connection) -> dict[Fact, dict[str, Any]]:
    """Return all facts; the bookkeeping must exist."""
    rows = await connection.fetch(QUERIES["facts"])
    # A newer runferry may know more facts; its version is refused with a better sentence than a ValueError.
    known = {fact.value for fact in Fact}
    return {Fact(row["fact"]): json.loads(row["value"]) for row in rows if row["fact"] in known}


async def record_fact(connection: asyncpg.Connection, fact: Fact, value: dict[str, Any]) -> None:
    """Write one fact, in the transaction of what it says."""
    await connection.execute(QUERIES["record_fact"], fact.value, json.dumps(value))


async def mark_tables(connection: asyncpg.Connection, app_schema: str) -> None:
    """Note at the web app's tables, which stay without a fact, that apply made them; inside of a transaction.

    Whoever does not own them can't, and goes on without.
    """
    with contextlib.suppress(asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError):
        async with connection.transaction():
            await connection.execute(f"COMMENT ON TABLE {quoted(app_schema)}.{_MARKED} IS '{_MADE_HERE}'")


async def recall_mark(connection: asyncpg.Connection, app_schema: str) -> None:
    """Write the fact again where a mark says that an earlier apply made the web app's tables."""
    table = f"{quoted(app_schema)}.{_MARKED}"
    if await connection.fetchval(QUERIES["table_comment"], table) != _MADE_HERE:
        return
    await record_fact(connection, Fact.WEB_APP_TABLES, {})
    with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
        async with connection.transaction():
            await connection.execute(f"COMMENT ON TABLE {table} IS NULL")
