"""Revert: takes away what apply added, and touches no row of the web app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from ops.schema.expected import expected
from ops.schema.facts import Fact, mark_tables
from ops.schema.identifiers import quoted
from ops.schema.locking import take_lock
from ops.schema.migrations import numbered_migrations, prisma_migrations
from ops.schema.queries import QUERIES
from ops.schema.refusals import explained_refusals
from ops.schema.state import PRISMA_BOOKKEEPING, State, read_state
from ops.schema.steps import refuse_newer
from shared.counting import counted
from shared.errors import SchemaError
from shared.schema_version import WEB_APP_TABLES

_COMMAND: Final = "ops schema revert"


@dataclass(frozen=True, slots=True)
class Losses:
    """What goes with runferry's schema: rows by table, and how many dead letters are still open.

    `made` is False where apply made nothing here.
    """

    database: str
    made: bool
    rows: dict[str, int]
    open_dead_letters: int


@dataclass(frozen=True, slots=True)
class Reverted:
    """What revert took away, and what it kept, each with its reason."""

    database: str
    dropped: tuple[str, ...]
    kept: tuple[str, ...]


def describe_open(letters: int) -> str:
    """Return the clause that says what open dead letters mean."""
    return counted(
        letters,
        "dead letter is open, and this database holds its only copy",
        "dead letters are open, and this database holds their only copies",
    )


async def losses(connection: asyncpg.Connection) -> Losses:
    """Return what a revert would lose; writes nothing."""
    with explained_refusals(_COMMAND):
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            state = await read_state(connection)
            return await _losses(connection, state, await _own_tables(connection))


async def revert(
    connection: asyncpg.Connection, *, even_with_dead_letters: bool = False, keep_web_app_tables: bool = False
) -> Reverted:
    """Take away, in one transaction, what apply added; the web app's tables may be kept although apply made them.

    Raises SchemaError, with nothing changed, where dead letters are open or something else depends on the schema.
    """
    with explained_refusals(_COMMAND):
        async with connection.transaction(isolation="read_committed"):
            await take_lock(connection)
            state = await read_state(connection)
            refuse_newer(state, numbered_migrations())
            if not state.has_bookkeeping:
                return Reverted(state.database, (), ())
            tables = await _own_tables(connection)
            await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
            lost = await _losses(connection, state, tables)
            if lost.open_dead_letters and not even_with_dead_letters:
                raise SchemaError(
                    f"{describe_open(lost.open_dead_letters)}: replay or discard first, or add "
                    "--even-with-dead-letters. Nothing was changed."
                )
            dropped: list[str] = []
            kept: list[str] = []
            if Fact.WEB_APP_TABLES in state.facts:
                if keep_web_app_tables:
                    await mark_tables(connection, state.app_schema)
                    kept.append("the web app's tables and Prisma's bookkeeping of them")
                else:
                    await _drop_web_app(connection, state, dropped, kept)
            elif Fact.KEYS_HERE in state.facts:
                await _drop_keys(connection, state, dropped, kept)
            await _drop_own(connection, state, tables, dropped, kept)
            return Reverted(state.database, tuple(dropped), tuple(kept))


async def _own_tables(connection: asyncpg.Connection) -> list[str]:
    """Return runferry's tables that are there, as SQL names; what else is in its schema is not ours to drop."""
    relations = await connection.fetch(QUERIES["relations"], "runferry")
    known = expected().runferry.tables
    return [f"runferry.{quoted(row['name'])}" for row in relations if row["name"] in known and row["kind"] == "r"]


async def _losses(connection: asyncpg.Connection, state: State, tables: list[str]) -> Losses:
    rows = {}
    for table in tables:
        name = table.split('"')[1]
        if name not in ("schema_migration", "schema_fact"):
            rows[name] = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a known name
    open_letters = await connection.fetchval(QUERIES["open_dead_letters"]) if "dead_letter" in rows else 0
    return Losses(state.database, state.has_bookkeeping, rows, open_letters)


async def _drop_web_app(connection: asyncpg.Connection, state: State, dropped: list[str], kept: list[str]) -> None:
    """Drop the five tables and Prisma's bookkeeping where apply made them and nobody has used them."""
    tables = [quoted(name) for name in WEB_APP_TABLES if name in state.app_tables]
    if not tables:
        return
    ours = [migration.name for migration in prisma_migrations()]
    theirs = [row.name for row in state.prisma_rows or () if row.name not in ours]
    if theirs:
        kept.append(f"the web app's tables: the web app has deployed {', '.join(theirs)} since")
        return
    await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
    filled = [
        table
        for table in tables
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})")  # noqa: S608 - a known name
    ]
    if filled:
        kept.append(f"the web app's tables: there are rows in {', '.join(filled)}")
        return
    try:
        async with connection.transaction():
            await connection.execute(f"DROP TABLE {', '.join(tables)}")
            await connection.execute('DROP TYPE "RunStatus"')
            if state.prisma_rows is not None:
                await connection.execute(f"DROP TABLE {PRISMA_BOOKKEEPING}")
            if state.facts[Fact.WEB_APP_SCHEMA]["made"]:
                await connection.execute(f"DROP SCHEMA {quoted(state.app_schema)}")
    except asyncpg.DependentObjectsStillExistError as error:
        kept.append(f"the web app's tables: {error.detail or error}")
        return
    dropped.append(f"the web app's {len(tables)} empty tables and Prisma's bookkeeping of them")


async def _drop_keys(connection: asyncpg.Connection, state: State, dropped: list[str], kept: list[str]) -> None:
    """Put the plain indexes back in the place of the keys that `apply --here` added."""
    fact: dict[str, Any] = state.facts[Fact.KEYS_HERE]
    added = [name for name in fact["added"] if name in state.app_relations]
    if state.prisma_rows is not None:
        since = await connection.fetch(
            QUERIES["prisma_migrations_since"],
            await connection.fetchval(QUERIES["fact_time"], Fact.KEYS_HERE.value),
        )
        if since:
            # One of them may be the migration with the keys: then they are the web app's now.
            kept.append(
                f"the unique keys {', '.join(added)}: the web app has deployed "
                f"{', '.join(row['migration_name'] for row in since)} since"
            )
            return
    for name in added:
        await connection.execute(f"DROP INDEX {quoted(name)}")
    for index in fact["dropped"]:
        if index["name"] not in state.app_relations:
            columns = ", ".join(quoted(column) for column in index["columns"])
            await connection.execute(
                f"CREATE INDEX {quoted(index['name'])} ON {quoted(index['table'])} ({columns})"
            )
    if added:
        dropped.append(f"the unique keys {', '.join(added)}; the plain indexes are back")


async def _drop_own(
    connection: asyncpg.Connection, state: State, tables: list[str], dropped: list[str], kept: list[str]
) -> None:
    await connection.execute(f"DROP TABLE {', '.join(tables)}")
    if not state.facts.get(Fact.RUNFERRY_SCHEMA, {}).get("made", False):
        kept.append("the schema runferry, now empty: it was there before `ops schema apply`")
        dropped.append("all tables of the schema runferry")
        return
    await connection.execute("DROP SCHEMA runferry")
    dropped.append("the schema runferry")
