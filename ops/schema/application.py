"""Apply: brings a database to the schema that this runferry needs, a step at a time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import assert_never

import asyncpg

from ops.schema.expected import expected
from ops.schema.facts import Fact, recall_mark, record_fact
from ops.schema.identifiers import quoted
from ops.schema.keys import add_keys, explain_missing_keys
from ops.schema.locking import take_lock
from ops.schema.migrations import numbered_migrations, prisma_migrations
from ops.schema.queries import QUERIES
from ops.schema.refusals import explained_refusals
from ops.schema.state import State, read_state
from ops.schema.steps import DeployPrismaMigration, RunNumberedMigration, SettleKeys, Step, next_step

_COMMAND = "ops schema apply"


@dataclass(frozen=True, slots=True)
class Applied:
    """What apply did, by name; all empty where the database had everything."""

    database: str
    app_schema: str
    version: int
    prisma: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    runferry: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self.prisma or self.keys or self.runferry)


async def apply(connection: asyncpg.Connection, *, here: bool = False) -> Applied:
    """Bring the database to the schema that this runferry needs; with `here` add unique keys to the app's tables.

    Each migration is one transaction; several applies at once, and a Prisma deployment beside them, wait for each
    other. Raises SchemaError, with nothing changed by the step that it stopped at, and DatabaseAway.
    """
    prisma: list[str] = []
    keys: list[str] = []
    runferry: list[str] = []
    with explained_refusals(_COMMAND):
        while True:
            async with connection.transaction(isolation="read_committed"):
                await take_lock(connection)
                state = await read_state(connection)
                step = next_step(state, expected(), prisma_migrations(), numbered_migrations())
                if step is None:
                    return Applied(
                        state.database,
                        state.app_schema,
                        state.version,
                        tuple(prisma),
                        tuple(keys),
                        tuple(runferry),
                    )
                await _do(connection, state, step, here=here)
            match step:
                case DeployPrismaMigration():
                    prisma.append(step.migration.name)
                case SettleKeys():
                    keys.extend(table for table, _ in step.keys)
                case RunNumberedMigration():
                    runferry.append(step.migration.name)
                case _:
                    assert_never(step)


async def _do(connection: asyncpg.Connection, state: State, step: Step, *, here: bool) -> None:
    match step:
        case DeployPrismaMigration(migration):
            if not state.has_bookkeeping:
                await _make_bookkeeping(connection, state)
            if state.prisma_rows is None:
                await connection.execute(QUERIES["make_prisma_bookkeeping"])
            await connection.execute(migration.script.decode())
            await connection.execute(
                QUERIES["record_prisma_migration"], str(uuid.uuid4()), migration.sha256, migration.name
            )
            await record_fact(connection, Fact.WEB_APP_TABLES, {})
        case SettleKeys(keys):
            if not here:
                raise await explain_missing_keys(connection, state, keys)
            added = await add_keys(connection, state, keys)
            if not state.has_bookkeeping:
                await _make_bookkeeping(connection, state)
            await record_fact(connection, Fact.KEYS_HERE, added)
        case RunNumberedMigration(migration):
            if not state.has_bookkeeping:
                await _make_bookkeeping(connection, state)
            await connection.execute(migration.script.decode())
            await connection.execute(
                QUERIES["record_version"], migration.version, migration.name, migration.sha256
            )
        case _:
            assert_never(step)


async def _make_bookkeeping(connection: asyncpg.Connection, state: State) -> None:
    """Make the schemas that are missing, and runferry's bookkeeping."""
    # Only what is missing: CREATE SCHEMA IF NOT EXISTS needs the right to create even where the schema exists.
    makes_runferry = "runferry" not in state.schemas
    makes_app_schema = state.app_schema not in state.schemas
    if makes_runferry:
        await connection.execute("CREATE SCHEMA runferry")
    if makes_app_schema:
        await connection.execute(f"CREATE SCHEMA {quoted(state.app_schema)}")
    await connection.execute(QUERIES["make_bookkeeping"])
    await record_fact(connection, Fact.RUNFERRY_SCHEMA, {"made": makes_runferry})
    await record_fact(connection, Fact.WEB_APP_SCHEMA, {"name": state.app_schema, "made": makes_app_schema})
    await recall_mark(connection, state.app_schema)
