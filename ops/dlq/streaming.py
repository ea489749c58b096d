"""Streaming: all selected letters in portions bounded in number and bytes, so that memory stays constant.

Portions go by id, each query for itself: no transaction stays open for as long as a replay lasts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg

from ops.dlq.queries import QUERIES, query
from ops.dlq.selection import Selection
from shared.counting import word_for
from shared.errors import UsageError

_SIZES_READ: Final = 1_000
_MAX_PORTION_BYTES: Final = 8 * 1024 * 1024


async def check_ids(connection: asyncpg.Connection, selection: Selection) -> None:
    """Raise UsageError where a letter is named by an id that does not exist."""
    if selection.ids is None:
        return
    found = {row["id"] for row in await connection.fetch(QUERIES["found"], list(selection.ids))}
    missing = [str(letter_id) for letter_id in selection.ids if letter_id not in found]
    if missing:
        letters = word_for(len(missing), "letter")
        raise UsageError(
            f"There is no dead {letters} {', '.join(missing)}; `ops dlq list --state all` shows which there are."
        )


async def count(connection: asyncpg.Connection, selection: Selection) -> int:
    """Return how many letters are selected."""
    found: int = await connection.fetchval(query("count", selection), *selection.arguments())
    return found


async def newest_id(connection: asyncpg.Connection, selection: Selection) -> int:
    """Return the greatest id of the selected letters, 0 where there are none."""
    newest: int | None = await connection.fetchval(query("newest", selection), *selection.arguments())
    return newest or 0


async def portions(
    connection: asyncpg.Connection, selection: Selection, max_letters: int = 100
) -> AsyncIterator[list[int]]:
    """Yield the ids of all letters that are selected now, oldest first, a bounded portion at a time."""
    newest = await newest_id(connection, selection)
    after = 0
    portion: list[int] = []
    portion_bytes = 0
    while True:
        rows = await connection.fetch(
            query("next_sizes", selection), *selection.arguments(), after, newest, _SIZES_READ
        )
        for row in rows:
            full = len(portion) >= max_letters or portion_bytes + row["bytes"] > _MAX_PORTION_BYTES
            if portion and full:
                yield portion
                portion, portion_bytes = [], 0
            portion.append(row["id"])
            portion_bytes += row["bytes"]
            after = row["id"]
        if len(rows) < _SIZES_READ:
            break
    if portion:
        yield portion


async def read_whole(connection: asyncpg.Connection, ids: list[int]) -> list[Any]:
    """Return whole rows of letters, in the order of their ids; those that are gone by now are left out."""
    return list(await connection.fetch(QUERIES["whole"], ids))
