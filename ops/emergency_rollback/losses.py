"""Losses: what an emergency rollback takes away, read before anything is done, and whether it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import asyncpg

from ops.emergency_rollback.queries import QUERIES
from ops.schema.facts import Fact
from ops.schema.identifiers import quoted
from ops.schema.state import PRISMA_BOOKKEEPING, State, read_state
from shared.errors import UsageError
from shared.schema_version import WEB_APP_TABLES

USER: Final = "User"
_FLAG: Final = "--include-web-app-tables"


@dataclass(frozen=True, slots=True)
class Losses:
    """What goes; `emptied` are quoted names of tables, `rows` their counts, `letters` dead letters that are open."""

    database: str
    bytes: int
    emptied: tuple[str, ...]
    rows: dict[str, int]
    letters: int
    ledger: int
    has_runferry: bool


async def read_losses(connection: asyncpg.Connection, *, keep_users: bool, include_web_app_tables: bool) -> Losses:
    """Return what goes; raises UsageError where tables that the web app made would go unasked."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        size = await connection.fetchrow(QUERIES["size"])
        state = await read_state(connection)
        names = [name for name in WEB_APP_TABLES if name in state.app_tables and not (keep_users and name == USER)]
        referring = await connection.fetch(QUERIES["referring_tables"], names)
        others = [f"{quoted(record['schema'])}.{quoted(record['name'])}" for record in referring]
        if not include_web_app_tables:
            _refuse_theirs(state, others)
        emptied = [f"{quoted(state.app_schema)}.{quoted(name)}" for name in names]
        if include_web_app_tables:
            theirs = [f"{quoted(state.app_schema)}.{quoted(name)}" for name in state.other_tables]
            known = {*emptied, f"{quoted(state.app_schema)}.{quoted(PRISMA_BOOKKEEPING)}"}
            emptied += [name for name in dict.fromkeys([*theirs, *others]) if name not in known]
        rows = {name: await connection.fetchval(QUERIES["count"].format(table=name)) for name in emptied}
        own = await connection.fetchrow(QUERIES["own"]) if state.version else {"ledger": 0, "letters": 0}
        return Losses(
            size["database"],
            size["bytes"],
            tuple(emptied),
            rows,
            own["letters"],
            own["ledger"],
            state.has_bookkeeping and bool(state.version),
        )


def _refuse_theirs(state: State, others: list[str]) -> None:
    if state.app_tables and Fact.WEB_APP_TABLES not in state.facts:
        raise UsageError(
            f'The web app made its tables in the schema "{state.app_schema}" itself, and what is in them is not '
            f"runferry's alone: emptying them needs {_FLAG}. To take away only what the migration created, use "
            "ops rollback --all-migrated. Nothing was changed."
        )
    if others:
        raise UsageError(
            f"Tables of the web app refer to those that would be emptied ({', '.join(others)}), and would have to be "
            f"emptied with them: that needs {_FLAG}. Nothing was changed."
        )
