"""Facts about the database that apply writes down, so that revert takes away what apply made and no more."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

import asyncpg

from ops.schema.queries import QUERIES


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
