"""Rows of the web app that share what must be unique, so that an idempotency key can't be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from ops.schema.queries import QUERIES

_QUERIES: Final = {"OpportunityCard": "card_duplicates", "StageOutput": "stage_output_duplicates"}
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Rows with the same run and number (of a stage output: the same stage), oldest first."""

    table: str
    run_id: str
    number: int
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f'"{self.table}" run {self.run_id} number {self.number}: ids {", ".join(self.ids)}'


async def read_duplicates(connection: asyncpg.Connection, tables: Sequence[str]) -> tuple[Duplicate, ...]:
    """Return the duplicates in `tables`; the search_path must be the web app's schema."""
    duplicates: list[Duplicate] = []
    for table in tables:
        for row in await connection.fetch(QUERIES[_QUERIES[table]]):
            duplicates.append(Duplicate(table, row["run_id"], row["number"], tuple(row["ids"])))
    return tuple(duplicates)


def list_duplicates(duplicates: Sequence[Duplicate]) -> str:
    """Return the duplicates as indented lines, the first of them where there are many."""
    lines = [f"  {duplicate}" for duplicate in duplicates[:_SHOWN]]
    if len(duplicates) > _SHOWN:
        lines.append(f"  … and {len(duplicates) - _SHOWN} more: `ops schema status --json` lists all.")
    return "\n".join(lines)
