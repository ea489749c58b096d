"""One transaction: lock a run as its writers do, read it, decide, and take back."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

import asyncpg
import orjson

from ops.rollback.deciding import RunAction, RunRollback, decide_run
from ops.rollback.queries import QUERIES
from ops.rollback.references import Reference, referred
from shared.ids import RunId
from workers.held_state import HeldRun, lock_runs, read_held, read_values
from workers.ledger import Table


class Skipped(Enum):
    """Why a run was left as it is."""

    DELETED = auto()  # in the web app: runferry remembers it, so that nothing brings it back
    UNKNOWN = auto()  # runferry wrote nothing of it, or it was rolled back before


async def roll_back(
    connection: asyncpg.Connection, run_id: RunId, references: Iterable[Reference], *, dry_run: bool
) -> tuple[HeldRun, RunRollback] | Skipped:
    """Roll one run back in one transaction; with `dry_run` only say what that would do."""
    async with connection.transaction(isolation="read_committed"):
        # The writers' lock first, then the row, in the order in which they take them.
        await lock_runs(connection, [run_id])
        await connection.execute(QUERIES["lock_run"], run_id)
        held = (await read_held(connection, [run_id]))[run_id]
        if held.record is None and not held.entries:
            return Skipped.UNKNOWN
        if held.run is None:
            return Skipped.DELETED
        await read_values(connection, {run_id: held}, [run_id])
        ids: dict[str, list[str]] = {"Run": [run_id]}
        for key, row in held.rows.items():
            ids.setdefault(key.table.value, []).append(row.id)
        rollback = decide_run(held, await referred(connection, references, ids))
        if not dry_run:
            await _write(connection, run_id, rollback)
        return held, rollback


async def _write(connection: asyncpg.Connection, run_id: RunId, rollback: RunRollback) -> None:
    going: dict[Table, list[str]] = {}
    for key, row_id in rollback.deletes:
        going.setdefault(key.table, []).append(row_id)
    for table, ids in sorted(going.items()):
        await connection.execute(QUERIES[_DELETES[table]], sorted(ids))
    for key, row_id, image in sorted(rollback.restores, key=lambda restore: restore[1]):
        await connection.execute(QUERIES[_RESTORES[key.table]], row_id, orjson.dumps(dict(image)).decode())
    match rollback.run:
        case RunAction.DELETE:
            await connection.execute(QUERIES["delete_run"], run_id)
        case RunAction.RESTORE:
            await connection.execute(
                QUERIES["restore_run"], run_id, orjson.dumps(dict(rollback.run_image)).decode()
            )
        case RunAction.KEEP:
            pass
    await connection.execute(QUERIES["forget_run"], run_id)


_DELETES = {
    Table.STAGE_OUTPUT: "delete_stage_outputs",
    Table.INSPIRATION_REPORT: "delete_reports",
    Table.OPPORTUNITY_CARD: "delete_cards",
}
_RESTORES = {
    Table.STAGE_OUTPUT: "restore_stage_output",
    Table.INSPIRATION_REPORT: "restore_report",
    Table.OPPORTUNITY_CARD: "restore_card",
}
