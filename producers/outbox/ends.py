"""Ends: what PostgreSQL says became of messages in the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from producers.outbox.entry import EntryName, Slip
from shared.sql import load_queries

_QUERIES: Final = load_queries("producers.outbox")

#: The output is in the rows, or what was sent is kept in PostgreSQL: the only copy is no longer this disk's.
DURABLE: Final = frozenset(("applied", "duplicate", "superseded", "dead_lettered", "mended", "deleted"))


async def read_ends(pool: asyncpg.Pool, slips: Sequence[Slip]) -> Mapping[EntryName, str]:
    """Return the verdict of each entry that PostgreSQL knows of."""
    rows = await pool.fetch(
        _QUERIES["ends"],
        [slip.name.message_id for slip in slips],
        [slip.batch_id for slip in slips],
        [slip.run_id for slip in slips],
        [int(slip.stage) for slip in slips],
        [slip.content_sha256 for slip in slips],
        [slip.name.produced_at for slip in slips],
    )
    names = {slip.name.message_id: slip.name for slip in slips}
    return {names[row["message_id"]]: row["verdict"] for row in rows if row["verdict"] is not None}
