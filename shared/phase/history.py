"""The history of phases in PostgreSQL: where the truth is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import orjson

from shared.phase.change import PhaseChange
from shared.settings import Phase
from shared.sql import load_queries

_QUERIES: Final = load_queries("shared.phase")


async def in_force(connection: asyncpg.Connection) -> PhaseChange | None:
    """Return the change that is in force; None where nobody ever set a phase."""
    row = await connection.fetchrow(_QUERIES["in_force"])
    return None if row is None else PhaseChange(Phase(row["phase"]), row["at"], row["who"], row["why"])


async def history(connection: asyncpg.Connection, limit: int) -> list[Mapping[str, Any]]:
    """Return the latest changes with all that is known of them, latest first."""
    return list(await connection.fetch(_QUERIES["history"], limit))


async def lock(connection: asyncpg.Connection) -> None:
    """Keep others from changing the phase until the transaction ends."""
    await connection.execute(_QUERIES["lock"])


async def record(
    connection: asyncpg.Connection,
    phase: Phase,
    *,
    who: str,
    why: str,
    forced: bool,
    evidence: Mapping[str, Any],
    after: PhaseChange | None,
) -> PhaseChange:
    """Set the phase, later than the change `after`; a forced one is kept in the audit as well."""
    text = orjson.dumps(evidence).decode()
    at = await connection.fetchval(
        _QUERIES["record"], who, phase.value, why, forced, text, None if after is None else after.at
    )
    if forced:
        await connection.execute(_QUERIES["record_forced"], who, why, text)
    return PhaseChange(phase, at, who, why)
