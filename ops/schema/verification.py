"""Verify: the live structure beside the expected one, and both bookkeepings beside the files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg

from ops.schema.differences import Difference, compare, compare_own
from ops.schema.expected import expected
from ops.schema.facts import Fact
from ops.schema.migrations import NumberedMigration, PrismaMigration, numbered_migrations, prisma_migrations
from ops.schema.refusals import explained_refusals
from ops.schema.state import State, read_state
from ops.schema.structure import read_structure


@dataclass(frozen=True, slots=True)
class Verification:
    """What verify found; `differences` holds the schema's name and the difference."""

    database: str
    app_schema: str
    differences: tuple[tuple[str, Difference], ...]

    @property
    def equal(self) -> bool:
        """Whether all is as expected."""
        return not self.differences


async def verify(connection: asyncpg.Connection) -> Verification:
    """Return all differences of the five tables and of runferry's schema; writes nothing, so a standby will do."""
    with explained_refusals("ops schema verify"):
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            state = await read_state(connection)
            own = await read_structure(connection, "runferry")
    found = [(state.app_schema, difference) for difference in compare(expected().web_app, state.app)]
    found += [(state.app_schema, difference) for difference in _prisma_differences(state, prisma_migrations())]
    found += [("runferry", difference) for difference in compare_own(expected().runferry, own)]
    found += [("runferry", difference) for difference in _version_differences(state, numbered_migrations())]
    return Verification(state.database, state.app_schema, tuple(found))


def _prisma_differences(state: State, prisma: tuple[PrismaMigration, ...]) -> Iterator[Difference]:
    """Compare the bookkeeping that apply wrote; what the web app wrote by itself is its own affair."""
    if Fact.WEB_APP_TABLES not in state.facts:
        return
    rows = {row.name: row for row in state.prisma_rows or ()}
    for migration in prisma:
        row = rows.get(migration.name)
        if row is None or not row.finished:
            found = "not recorded" if row is None else "started, not finished"
            yield Difference("_prisma_migrations", migration.name, "applied", found, blocking=True)
        elif row.checksum != migration.sha256:
            yield Difference("_prisma_migrations", migration.name, migration.sha256, row.checksum, blocking=True)


def _version_differences(state: State, numbered: tuple[NumberedMigration, ...]) -> Iterator[Difference]:
    applied = {version.version: version for version in state.versions}
    for migration in numbered:
        version = applied.pop(migration.version, None)
        if version is None:
            yield Difference("schema_migration", migration.name, "applied", "not applied", blocking=True)
        elif version.sha256 != migration.sha256:
            yield Difference("schema_migration", migration.name, migration.sha256, version.sha256, blocking=True)
    for version in applied.values():
        yield Difference("schema_migration", version.name, "no such migration", "applied", blocking=True)
