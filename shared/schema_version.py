"""The schema version that this runferry needs, and the cheap check of it that every process makes at start."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import asyncpg

from shared.counting import word_for
from shared.errors import SchemaError
from shared.sql import parse_queries

#: The highest number of `ops/sql/NNNN_*.sql`.
REQUIRED_VERSION: Final = 1

#: The web app's tables that runferry reads and writes.
WEB_APP_TABLES: Final = ("User", "Run", "InspirationReport", "OpportunityCard", "StageOutput")

#: The unique keys that make a second delivery an update; the web app's first migration lacks them.
IDEMPOTENCY_KEYS: Final = (
    ("OpportunityCard", ("runId", "number")),
    ("StageOutput", ("runId", "stageNumber")),
)

_FILE: Final = files("shared") / "schema_version.sql"
_QUERIES: Final = parse_queries(_FILE.read_text(encoding="utf-8"), "schema_version.sql")


async def check(connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) -> None:
    """Raise SchemaError, with the command to run, where the database is not what this runferry needs.

    Two queries of the catalog and one row: cheap enough for every start.
    """
    probe = await _probe(connection)
    where = f'The database "{probe["database"]}"'
    if not probe["has_bookkeeping"]:
        raise SchemaError(f"{where} has no runferry schema: run `ops schema apply`.")
    try:
        version = await connection.fetchval(_QUERIES["version"])
    except asyncpg.InsufficientPrivilegeError as error:
        raise SchemaError(
            f'{where} does not let "{probe["role"]}" read the schema runferry ({error.message}): grant it the rights.'
        ) from None
    if version < REQUIRED_VERSION:
        raise SchemaError(
            f"{where} has runferry's schema at version {version}, and this runferry needs {REQUIRED_VERSION}: "
            "run `ops schema apply`."
        )
    if version > REQUIRED_VERSION:
        raise SchemaError(
            f"{where} has runferry's schema at version {version}, newer than the {REQUIRED_VERSION} that this "
            "runferry knows: upgrade runferry here."
        )
    if probe["missing_tables"]:
        raise SchemaError(
            f"{where} lacks the web app's {_named(probe['missing_tables'])}: "
            "look at `ops schema status`, then run `ops schema apply`."
        )
    if probe["tables_without_key"]:
        raise SchemaError(
            f"{where} lacks the unique key of {_named(probe['tables_without_key'])}: "
            "run `ops schema apply`, which says how it comes back."
        )


async def tables_without_key(connection: asyncpg.Connection) -> tuple[str, ...]:
    """Return the web app's tables that are there and lack the unique key that makes a second delivery an update."""
    probe = await _probe(connection)
    return tuple(name for name in probe["tables_without_key"] if name not in probe["missing_tables"])


async def _probe(connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) -> asyncpg.Record:
    return await connection.fetchrow(
        _QUERIES["probe"],
        list(WEB_APP_TABLES),
        [table for table, _ in IDEMPOTENCY_KEYS],
        [",".join(sorted(columns)) for _, columns in IDEMPOTENCY_KEYS],
    )


def _named(tables: list[str]) -> str:
    return f"{word_for(len(tables), 'table')} " + ", ".join(f'"{table}"' for table in tables)
