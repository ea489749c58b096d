"""Table hashes: what tells whether a table holds the same rows, whatever its indexes, pages and row order.

The hash of a table is SHA-256 over the SHA-256 of each row's text, least first. PostgreSQL computes and sorts the
rows' hashes; 32 bytes a row stream here, so memory stays constant. Rows' texts depend on a few settings of the
session, which are fixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import asyncpg

from ops.backup.queries import QUERIES
from ops.schema.identifiers import quoted
from shared.counting import counted

_ROWS_AT_ONCE: Final = 20_000
#: A backup may take hours; and with row security on, rows would be left out without a word.
_SESSION: Final = (
    "SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; "
    "SET extra_float_digits = 1; SET xmloption = 'content'; SET row_security = off; "
    "SET idle_in_transaction_session_timeout = 0"
)


@dataclass(frozen=True, slots=True)
class TableHash:
    """What a table held: its rows, and the hash over them."""

    schema: str
    name: str
    rows: int
    sha256: str

    @property
    def table(self) -> str:
        """The table's name with its schema, as one reads it."""
        return f"{self.schema}.{self.name}"

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TableHash:
        """Return what `to_json` wrote; raises KeyError and TypeError where it is anything else."""
        return cls(str(value["schema"]), str(value["name"]), int(value["rows"]), str(value["sha256"]))


@dataclass(frozen=True, slots=True)
class TableDifference:
    """A table that does not hold what it should; None where there is no such table."""

    table: str
    expected: TableHash | None
    found: TableHash | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.table} is missing"
        if self.expected is None:
            return f"{self.table} is there, and was not"
        if self.found.rows != self.expected.rows:
            return f"{self.table} has {counted(self.found.rows, 'row')}, and had {self.expected.rows:,}"
        return f"{self.table} has as many rows ({self.found.rows:,}), but other ones"


async def hash_tables(
    connection: asyncpg.Connection, *, took: Callable[[int], None] = lambda _: None
) -> tuple[TableHash, ...]:
    """Return the hashes of all tables; must run in a transaction. `took` hears of rows, some at a time."""
    await connection.execute(_SESSION)
    hashes = []
    for record in await connection.fetch(QUERIES["tables"]):
        hashes.append(await _hash_table(connection, record["schema"], record["name"], took))
    return tuple(hashes)


async def _hash_table(
    connection: asyncpg.Connection, schema: str, name: str, took: Callable[[int], None]
) -> TableHash:
    digest, rows = hashlib.sha256(), 0
    query = QUERIES["row_hashes"].format(table=f"{quoted(schema)}.{quoted(name)}")
    cursor = await connection.cursor(query)
    while some := await cursor.fetch(_ROWS_AT_ONCE):
        for record in some:
            digest.update(record[0])
        rows += len(some)
        took(len(some))
    return TableHash(schema, name, rows, digest.hexdigest())


def differences(expected: Sequence[TableHash], found: Sequence[TableHash]) -> tuple[TableDifference, ...]:
    """Return the tables that differ, by name."""
    wanted = {table.table: table for table in expected}
    held = {table.table: table for table in found}
    return tuple(
        TableDifference(table, wanted.get(table), held.get(table))
        for table in sorted(wanted.keys() | held.keys())
        if wanted.get(table) != held.get(table)
    )
