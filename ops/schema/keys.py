"""The two unique keys that the web app's first migration lacks: added here, or explained."""

from __future__ import annotations

from typing import Any

import asyncpg

from ops.schema.duplicates import list_duplicates, read_duplicates
from ops.schema.queries import QUERIES
from ops.schema.state import State
from shared.errors import SchemaError

Keys = tuple[tuple[str, tuple[str, ...]], ...]


def key_name(table: str, columns: tuple[str, ...]) -> str:
    """Return the name that Prisma gives the unique key."""
    return f"{table}_{'_'.join(columns)}_key"


def plain_name(table: str, columns: tuple[str, ...]) -> str:
    """Return the name that Prisma gives the plain index, which the unique key replaces."""
    return f"{table}_{'_'.join(columns)}_idx"


async def explain_missing_keys(connection: asyncpg.Connection, state: State, keys: Keys) -> SchemaError:
    """Return the error that names the missing keys, both ways to them, and the duplicates in their way."""
    duplicates = await read_duplicates(connection, [table for table, _ in keys])
    lacking = " and ".join(f'"{table}" ({", ".join(columns)})' for table, columns in keys)
    text = (
        f'The web app\'s tables in the schema "{state.app_schema}" lack the unique keys of {lacking}, without '
        "which a message delivered twice makes a row twice. Nothing was changed. There are two ways:\n"
        "  1. The web app adds them: `ops schema prisma --to APP/prisma` writes the migration and prints the "
        "lines for schema.prisma. Deploy it (`npx prisma migrate deploy`), then run `ops schema apply` again.\n"
        "  2. `ops schema apply --here` adds them now, and says what the web app must do afterwards."
    )
    if duplicates:
        text += f"\nEither way these rows must be settled first:\n{list_duplicates(duplicates)}"
    return SchemaError(text)


async def add_keys(connection: asyncpg.Connection, state: State, keys: Keys) -> dict[str, Any]:
    """Add the missing keys in place of the plain indexes, and return what was added and dropped.

    Raises SchemaError, with nothing changed, where rows or another index stand in the way.
    """
    await connection.execute(QUERIES["lock_keyed_tables"])
    duplicates = await read_duplicates(connection, [table for table, _ in keys])
    if duplicates:
        raise SchemaError(
            "These rows share what must be unique; keep one of each and delete or renumber the others, then run "
            f"this again. Nothing was changed.\n{list_duplicates(duplicates)}"
        )
    added: list[str] = []
    dropped: list[dict[str, Any]] = []
    for table, columns in keys:
        name = key_name(table, columns)
        if name in state.app_relations:
            raise SchemaError(
                f'There is an index "{name}", but it is no key that an INSERT can rely on (invalid, deferred, '
                "partial, or over other columns): drop it, then run this again. Nothing was changed."
            )
        listed = ", ".join(f'"{column}"' for column in columns)
        await connection.execute(f'CREATE UNIQUE INDEX "{name}" ON "{table}" ({listed})')
        added.append(name)
        plain = plain_name(table, columns)
        if any(index.name == plain and index.columns == columns for index in state.app.tables[table].indexes):
            await connection.execute(f'DROP INDEX "{plain}"')
            dropped.append({"table": table, "name": plain, "columns": list(columns)})
    return {"added": added, "dropped": dropped}
