"""Rows without files: applied outputs whose run has nothing on disk. The other direction, outside of the equation."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg

from ops.reconcile.queries import QUERIES
from ops.reconcile.tally import Tally
from shared.ids import RunId
from shared.reconciling.slices import Named
from shared.reconciling.verdicts import Standing

_RUNS_AT_ONCE: Final = 1_000


async def name_rows_without_files(connection: asyncpg.Connection, root: Path, tally: Tally) -> None:
    """Name what is applied of runs that have no folder below the root; workers name single stages of the others."""
    after = ""
    while True:
        records = await connection.fetch(QUERIES["applied_runs"], after, _RUNS_AT_ONCE)
        if not records:
            return
        after = records[-1]["run_id"]
        for record in await asyncio.to_thread(_without_folder, root, records):
            for stage, origin in zip(record["stages"], record["origins"], strict=True):
                named = Named(
                    RunId(record["run_id"]), stage, Standing.ROW_WITHOUT_FILES, detail=f"Sent by {origin}."
                )
                tally.name(named)


def _without_folder(root: Path, records: Sequence[Any]) -> list[Any]:
    return [record for record in records if not any(_has_files(root, record["run_id"], n) for n in range(1, 6))]


def _has_files(root: Path, run_id: str, stage: int) -> bool:
    try:
        with os.scandir(f"{root}/{run_id}/stage{stage}") as entries:
            return any(True for _ in entries)
    except OSError:
        return False
