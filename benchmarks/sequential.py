"""Baseline (a): a sequential migrator in one process, a statement at a time, each its own transaction, no queue.

What a person would write first, and what the plan that runferry replaces did: a pool of 2 to 10 connections, of
which one at a time works; `ON CONFLICT DO NOTHING`; and no output of a stage that left no JSON.

python -m benchmarks.sequential ROOT        (DATABASE_URL names the database)
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks import simple_rows
from shared.database_url import DatabaseAddress

_INSERT_RUN: Final = """
INSERT INTO "Run" (id, "userId", "companyId", "companyName", "documentName", "documentUrl", status, "currentStage",
                   "createdAt", "updatedAt", "completedAt")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now(), now(), now())
ON CONFLICT DO NOTHING
"""
_INSERT_REPORT: Final = """
INSERT INTO "InspirationReport" (id, "runId", "inspiration1Title", "inspiration1Content", "inspiration1Elements",
                                 "inspiration2Title", "inspiration2Content", "inspiration2Elements", "updatedAt")
VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, now())
ON CONFLICT DO NOTHING
"""
_INSERT_CARD: Final = """
INSERT INTO "OpportunityCard" (id, "runId", "userId", number, title, tagline, problem, solution, why_now,
                               target_segment, quick_win, "updatedAt")
VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now())
ON CONFLICT DO NOTHING
"""
_INSERT_STAGE_OUTPUT: Final = """
INSERT INTO "StageOutput" (id, "runId", "stageNumber", "markdownOutput", "jsonOutput")
VALUES (gen_random_uuid(), $1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""


async def migrate(run_dirs: Sequence[Path], address: DatabaseAddress) -> None:
    """Migrate the run folders, one after the other."""
    async with asyncpg.create_pool(min_size=2, max_size=10, **address.connect_arguments()) as pool:
        for run_dir in run_dirs:
            await _migrate_run(pool, run_dir)


async def _migrate_run(pool: asyncpg.Pool, run_dir: Path) -> None:
    await pool.execute(_INSERT_RUN, *simple_rows.run_values(run_dir))
    if report := simple_rows.report_values(run_dir):
        await pool.execute(_INSERT_REPORT, *report)
    cards = simple_rows.card_values(run_dir)
    async with pool.acquire() as connection:
        for card in cards:
            await connection.execute(_INSERT_CARD, run_dir.name, simple_rows.USER_ID, *card)
    for stage in simple_rows.STAGES:
        if output := simple_rows.stage_output_values(run_dir, stage, without_json=False):
            await pool.execute(_INSERT_STAGE_OUTPUT, *output)


if __name__ == "__main__":
    found = [path for path in Path(sys.argv[1]).iterdir() if path.is_dir()]
    asyncio.run(migrate(found, DatabaseAddress.parse(os.environ["DATABASE_URL"])))
