"""Baseline (b): a bare binary COPY of the same rows, a transaction a batch; also by several processes at once.

No queue, no check, no second run: the least that PostgreSQL needs to be told.

python -m benchmarks.bulk_copy ROOT [PROCESSES]        (DATABASE_URL names the database)
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks import simple_rows
from shared.database_url import DatabaseAddress

RUNS_PER_TRANSACTION: Final = 500
_RUN_COLUMNS: Final = (
    "id", "userId", "companyId", "companyName", "documentName", "documentUrl", "status", "currentStage",
    "createdAt", "updatedAt", "completedAt",
)  # fmt: skip
_REPORT_COLUMNS: Final = (
    "id", "runId", "inspiration1Title", "inspiration1Content", "inspiration1Elements",
    "inspiration2Title", "inspiration2Content", "inspiration2Elements", "createdAt", "updatedAt",
)  # fmt: skip
_CARD_COLUMNS: Final = ("id", "runId", "userId", *simple_rows.CARD_COLUMNS, "starred", "createdAt", "updatedAt")
_STAGE_OUTPUT_COLUMNS: Final = ("id", "runId", "stageNumber", "markdownOutput", "jsonOutput", "createdAt")


async def copy(run_dirs: Sequence[Path], address: DatabaseAddress) -> None:
    """Copy the rows of all `run_dirs`."""
    connection = await asyncpg.connect(**address.connect_arguments())
    try:
        for start in range(0, len(run_dirs), RUNS_PER_TRANSACTION):
            await _copy_batch(connection, run_dirs[start : start + RUNS_PER_TRANSACTION])
    finally:
        await connection.close()


async def _copy_batch(connection: asyncpg.Connection, run_dirs: Sequence[Path]) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    runs: list[tuple[Any, ...]] = []
    reports: list[tuple[Any, ...]] = []
    cards: list[tuple[Any, ...]] = []
    stage_outputs: list[tuple[Any, ...]] = []
    for run_dir in run_dirs:
        runs.append((*simple_rows.run_values(run_dir), now, now, now))
        if report := simple_rows.report_values(run_dir):
            reports.append((_new_id(), *report, now, now))
        for card in simple_rows.card_values(run_dir):
            cards.append((_new_id(), run_dir.name, simple_rows.USER_ID, *card, False, now, now))
        for stage in simple_rows.STAGES:
            if output := simple_rows.stage_output_values(run_dir, stage, without_json=True):
                stage_outputs.append((_new_id(), *output, now))
    async with connection.transaction():
        await connection.copy_records_to_table("Run", records=runs, columns=_RUN_COLUMNS)
        await connection.copy_records_to_table("InspirationReport", records=reports, columns=_REPORT_COLUMNS)
        await connection.copy_records_to_table("OpportunityCard", records=cards, columns=_CARD_COLUMNS)
        await connection.copy_records_to_table("StageOutput", records=stage_outputs, columns=_STAGE_OUTPUT_COLUMNS)


def _new_id() -> str:
    return str(uuid.uuid4())


def _copy_share(root: Path, database_url: str, share: int, processes: int) -> None:
    run_dirs = [run_dir for run_dir in sorted(root.iterdir()) if run_dir.is_dir()][share::processes]
    asyncio.run(copy(run_dirs, DatabaseAddress.parse(database_url)))


def copy_with_processes(root: Path, database_url: str, processes: int) -> None:
    """Copy every run folder of `root`, each process its share; raises RuntimeError where one of them failed."""
    started = [
        multiprocessing.get_context("fork").Process(
            target=_copy_share, args=(root, database_url, share, processes)
        )
        for share in range(1, processes)
    ]
    for process in started:
        process.start()
    _copy_share(root, database_url, 0, processes)
    for process in started:
        process.join()
    if any(process.exitcode != 0 for process in started):
        raise RuntimeError("One of the copying processes failed.")


if __name__ == "__main__":
    copy_with_processes(Path(sys.argv[1]), os.environ["DATABASE_URL"], int((sys.argv[2:] or ["1"])[0]))
