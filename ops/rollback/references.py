"""References: tables that runferry doesn't know, and whose rows hang on the web app's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import asyncpg

from ops.rollback.queries import QUERIES
from ops.schema.identifiers import quoted
from shared.schema_version import WEB_APP_TABLES


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of another table onto one of the web app's; `table` and `condition` are SQL."""

    target: str
    table: str
    condition: str


#: The web app's table that its users are in.
USER: Final = "User"


async def read_references(connection: asyncpg.Connection) -> tuple[Reference, ...]:
    """Return the foreign keys of other tables onto the web app's."""
    records = await connection.fetch(QUERIES["referring"], list(WEB_APP_TABLES))
    return tuple(Reference(record["target"], record["table"], record["condition"]) for record in records)


async def referred(
    connection: asyncpg.Connection, references: Iterable[Reference], ids: dict[str, list[str]]
) -> frozenset[str]:
    """Return which of some rows, by table, other tables refer to."""
    found: set[str] = set()
    for reference in references:
        if ids.get(reference.target):
            query = QUERIES["referred_rows"].format(
                parent=quoted(reference.target), child=reference.table, condition=reference.condition
            )
            found.update(record["id"] for record in await connection.fetch(query, ids[reference.target]))
    return frozenset(found)
