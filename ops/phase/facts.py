"""What the gates and the way down need to know, from PostgreSQL and the disk."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from ops.phase.gates import Standing
from producers.stage_store.files import newest_time
from shared.ids import RunId, Stage
from shared.phase.change import PhaseChange
from shared.phase.history import history
from shared.settings import Phase, Settings
from shared.sql import load_queries

_QUERIES: Final = load_queries("ops.phase")
_HISTORY: Final = 1_000
_PAGE: Final = 1_000


async def read_standing(
    connection: asyncpg.Connection, settings: Settings, copy: PhaseChange | None = None
) -> Standing:
    """Return where the migration stands; `copy` is what Redis says.

    The processes obey a copy that is later than the history: an emergency rollback leaves no history, and a database
    that was restored by other means than `ops restore` an older one.
    """
    changes = await history(connection, _HISTORY)
    since: datetime
    last = changes[0] if changes else None
    if copy is not None and (last is None or (copy.at > last["at"] and copy.phase.value != last["phase"])):
        phase, since = copy.phase, copy.at
    else:
        phase = settings.phase if last is None else Phase(last["phase"])
        since = await connection.fetchval(_QUERIES["schema_since"])
        for change in changes:
            if change["phase"] != phase.value:
                break
            since = change["at"]
    checklist = await connection.fetchrow(_QUERIES["checklist"])
    now: datetime = await connection.fetchval("SELECT now()")
    return Standing(
        phase,
        since,
        None if checklist is None else checklist["at"],
        bool(checklist and checklist["passed"]),
        now,
        await connection.fetchval(_QUERIES["rolled_back_at"]),
    )


@dataclass(frozen=True, slots=True)
class OnlyInRows:
    """Outputs that the files below a root don't have, or have older; `looked` is False where the root is not here."""

    looked: bool
    outputs: int = 0
    runs: int = 0
    example: str = ""


async def count_only_in_rows(connection: asyncpg.Connection, root: Path) -> OnlyInRows:
    """Count the outputs that were produced since files were given up first, and that the files don't have."""
    since = await connection.fetchval(_QUERIES["db_only_since"])
    if since is None:
        return OnlyInRows(looked=True)
    if not os.path.isdir(root):  # noqa: ASYNC240, PTH112 - a command of its own, nothing else waits on its loop
        return OnlyInRows(looked=False)
    outputs, runs, example = 0, set(), ""
    async for run_id, stage, produced_at in _applied_since(connection, since):
        on_disk = newest_time(root, run_id, stage)
        if on_disk is None or on_disk < produced_at:
            outputs += 1
            runs.add(run_id)
            example = example or run_id
    return OnlyInRows(looked=True, outputs=outputs, runs=len(runs), example=example)


async def _applied_since(
    connection: asyncpg.Connection, since: datetime
) -> AsyncIterator[tuple[RunId, Stage, datetime]]:
    last = ("", 0)
    while rows := await connection.fetch(_QUERIES["applied_since"], since.astimezone(UTC), *last, _PAGE):
        for row in rows:
            yield RunId(row["run_id"]), Stage(row["stage"]), row["produced_at"]
        last = (rows[-1]["run_id"], rows[-1]["stage"])
