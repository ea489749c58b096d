"""Status: what is there, what is missing, and what apply would do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import asyncpg

from ops.schema.duplicates import Duplicate, list_duplicates, read_duplicates
from ops.schema.expected import expected
from ops.schema.facts import Fact
from ops.schema.migrations import numbered_migrations, prisma_migrations
from ops.schema.refusals import explained_refusals
from ops.schema.state import State, read_state
from ops.schema.steps import DeployPrismaMigration, RunNumberedMigration, SettleKeys, Step, next_step
from shared.counting import counted
from shared.errors import SchemaError
from shared.schema_version import REQUIRED_VERSION, WEB_APP_TABLES


@dataclass(frozen=True, slots=True)
class Status:
    """What `ops schema status` shows; `next` is None where all is there."""

    state: State
    duplicates: tuple[Duplicate, ...]
    next: str | None

    @property
    def made_by(self) -> str | None:
        """Who made the web app's tables; None where there are none."""
        if not self.state.app_tables:
            return None
        return "runferry" if Fact.WEB_APP_TABLES in self.state.facts else "the web app"

    def document(self) -> dict[str, Any]:
        """Return the status as the one JSON document of `--json`."""
        state = self.state
        applied = {version.version for version in state.versions}
        return {
            "database": state.database,
            "complete": self.next is None,
            "next": self.next,
            "web_app": {
                "schema": state.app_schema,
                "tables": list(state.app_tables),
                "missing_tables": [name for name in WEB_APP_TABLES if name not in state.app_tables],
                "made_by": self.made_by,
                "missing_keys": [
                    {"table": table, "columns": list(columns)} for table, columns in state.missing_keys
                ],
                "duplicates": [asdict(duplicate) for duplicate in self.duplicates],
                "prisma_migrations": None
                if state.prisma_rows is None
                else [{"name": row.name, "finished": row.finished} for row in state.prisma_rows],
            },
            "runferry": {
                "version": state.version,
                "required": REQUIRED_VERSION,
                "applied": [
                    {"name": version.name, "applied_at": version.applied_at} for version in state.versions
                ],
                "pending": [
                    migration.name for migration in numbered_migrations() if migration.version not in applied
                ],
            },
        }

    def lines(self) -> list[str]:
        """Return the status for people."""
        state = self.state
        document = self.document()
        web_app, runferry = document["web_app"], document["runferry"]
        lines = [f'Database "{state.database}"']
        there = f"{len(web_app['tables'])} of {len(WEB_APP_TABLES)} tables"
        made = f", made by {self.made_by}" if self.made_by else ""
        lines.append(f'  web app, schema "{state.app_schema}": {there}{made}')
        if state.app_tables and web_app["missing_tables"]:
            lines.append(f"    missing: {', '.join(web_app['missing_tables'])}")
        if state.prisma_rows is not None:
            unfinished = [row.name for row in state.prisma_rows if not row.finished]
            stuck = f", not finished: {', '.join(unfinished)}" if unfinished else ""
            lines.append(f"    Prisma's bookkeeping: {counted(len(state.prisma_rows), 'migration')}{stuck}")
        for table, columns in state.missing_keys:
            lines.append(f"    missing: the unique key of {table} ({', '.join(columns)})")
        if self.duplicates:
            lines.append("    rows in the way of the unique keys:")
            lines += ["    " + line for line in list_duplicates(self.duplicates).splitlines()]
        lines.append(f"  runferry: version {runferry['version']} of {runferry['required']}")
        lines += [f"    pending: {name}" for name in runferry["pending"]]
        lines.append(self.next or "Nothing is missing.")
        return lines


async def read_status(connection: asyncpg.Connection) -> Status:
    """Return the status; writes nothing, so a standby will do."""
    with explained_refusals("ops schema status"):
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            state = await read_state(connection)
            duplicates = await read_duplicates(connection, [table for table, _ in state.missing_keys])
    try:
        step = next_step(state, expected(), prisma_migrations(), numbered_migrations())
    except SchemaError as error:
        return Status(state, duplicates, str(error))
    return Status(state, duplicates, None if step is None else _advice(step))


def _advice(step: Step) -> str:
    match step:
        case DeployPrismaMigration():
            return "`ops schema apply` makes what is missing, the web app's tables among it."
        case SettleKeys():
            return (
                "The web app must add the unique keys: `ops schema prisma --to APP/prisma` writes the migration; "
                "or `ops schema apply --here` adds them."
            )
        case RunNumberedMigration():
            return "`ops schema apply` makes what is missing."
