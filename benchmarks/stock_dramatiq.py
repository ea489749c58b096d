"""Baseline (d): what one would build with Dramatiq as it comes. A message a run, a transaction a message, upserts.

Broker, worker, middleware, retries and prefetch are Dramatiq's own, unchanged. No ledger, no order, no dead letters
with a reason, no proof.

python -m dramatiq benchmarks.stock_dramatiq:broker --processes 2 --threads 8      (the workers)
python -m benchmarks.stock_dramatiq ROOT                                    (the producer)

DATABASE_URL and REDIS_URL name the stores.
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from typing import Any, Final

import asyncpg
import dramatiq
from dramatiq.asyncio import EventLoopThread, get_event_loop_thread
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware
from dramatiq.middleware.asyncio import AsyncIO

from benchmarks import actor_starts, simple_rows
from shared.database_url import DatabaseAddress

QUEUE: Final = "default"
NAMESPACE: Final = "dramatiq"
_THREADS: Final = 8
_ID_NAMESPACE: Final = uuid.UUID("5bf1e4ac-2d6c-4f53-9d3b-0f7f7f6a3c11")

_UPSERT_USER: Final = """
INSERT INTO "User" (id, "clerkId", email, "updatedAt") VALUES ($1, $1, $1 || '@users.invalid', now())
ON CONFLICT DO NOTHING
"""
_UPSERT_RUN: Final = """
INSERT INTO "Run" (id, "userId", "companyId", "companyName", "documentName", "documentUrl", status, "currentStage",
                   "createdAt", "updatedAt", "completedAt")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now(), now(), now())
ON CONFLICT (id) DO UPDATE SET
    "companyId" = excluded."companyId", "companyName" = excluded."companyName", status = excluded.status,
    "currentStage" = excluded."currentStage", "updatedAt" = now(), "completedAt" = excluded."completedAt"
"""
_UPSERT_REPORT: Final = """
INSERT INTO "InspirationReport" (id, "runId", "inspiration1Title", "inspiration1Content", "inspiration1Elements",
                                 "inspiration2Title", "inspiration2Content", "inspiration2Elements", "updatedAt")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())
ON CONFLICT ("runId") DO UPDATE SET
    "inspiration1Title" = excluded."inspiration1Title", "inspiration1Content" = excluded."inspiration1Content",
    "inspiration1Elements" = excluded."inspiration1Elements", "inspiration2Title" = excluded."inspiration2Title",
    "inspiration2Content" = excluded."inspiration2Content",
    "inspiration2Elements" = excluded."inspiration2Elements", "updatedAt" = now()
"""
_UPSERT_CARD: Final = """
INSERT INTO "OpportunityCard" (id, "runId", "userId", number, title, tagline, problem, solution, why_now,
                               target_segment, quick_win, "updatedAt")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now())
ON CONFLICT ("runId", number) DO UPDATE SET
    title = excluded.title, tagline = excluded.tagline, problem = excluded.problem, solution = excluded.solution,
    why_now = excluded.why_now, target_segment = excluded.target_segment, quick_win = excluded.quick_win,
    "updatedAt" = now()
"""
_UPSERT_STAGE_OUTPUT: Final = """
INSERT INTO "StageOutput" (id, "runId", "stageNumber", "markdownOutput", "jsonOutput")
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ("runId", "stageNumber") DO UPDATE SET
    "markdownOutput" = excluded."markdownOutput", "jsonOutput" = excluded."jsonOutput"
"""


class Database(Middleware):
    """A pool of the worker process, on Dramatiq's event loop; a connection for each thread."""

    def __init__(self) -> None:
        self.pool: asyncpg.Pool | None = None

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        """Open the pool; the loop runs already."""
        _loop().run_coroutine(self._open())

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        """Let the connections go; actors that still run are finished by then, since the benchmark awaits them."""
        if self.pool is not None:
            self.pool.terminate()

    async def _open(self) -> None:
        address = DatabaseAddress.parse(os.environ["DATABASE_URL"])
        self.pool = await asyncpg.create_pool(min_size=_THREADS, max_size=_THREADS, **address.connect_arguments())


def _loop() -> EventLoopThread:
    loop = get_event_loop_thread()
    assert loop is not None
    return loop


database = Database()
broker = RedisBroker(url=os.environ.get("REDIS_URL", "redis://localhost"), namespace=NAMESPACE)
broker.add_middleware(AsyncIO())
broker.add_middleware(database)
if starts_folder := os.environ.get(actor_starts.FOLDER_VARIABLE):
    broker.add_middleware(actor_starts.ActorStarts(starts_folder))


@dramatiq.actor(broker=broker, queue_name=QUEUE)
async def migrate_run(run_id: str, documents: dict[str, str]) -> None:
    """Write the rows of one run; `documents` are texts by their path in the run folder."""
    assert database.pool is not None
    async with database.pool.acquire() as connection:
        await write_run(connection, run_id, documents)


async def write_run(connection: asyncpg.Connection, run_id: str, documents: dict[str, str]) -> None:
    """Upsert the rows of one run in a transaction."""
    run = simple_rows.run_row(run_id, documents.get("stage4/context.json"))
    inspirations = documents.get("stage1/inspirations.json")
    report = simple_rows.report_row(run_id, inspirations) if inspirations is not None else None
    paths = {number: f"stage5/opportunity-{number}.md" for number in simple_rows.CARDS}
    cards = [simple_rows.card_row(number, documents[path]) for number, path in paths.items() if path in documents]
    outputs = [row for stage in simple_rows.STAGES if (row := _stage_output(run_id, stage, documents)) is not None]
    async with connection.transaction():
        await connection.execute(_UPSERT_USER, simple_rows.USER_ID)
        await connection.execute(_UPSERT_RUN, *run)
        if report is not None:
            await connection.execute(_UPSERT_REPORT, _row_id(run_id, "report"), *report)
        await connection.executemany(
            _UPSERT_CARD,
            [(_row_id(run_id, f"card{card[0]}"), run_id, simple_rows.USER_ID, *card) for card in cards],
        )
        await connection.executemany(
            _UPSERT_STAGE_OUTPUT, [(_row_id(run_id, f"stage{output[1]}"), *output) for output in outputs]
        )


def _stage_output(run_id: str, stage: int, documents: dict[str, str]) -> tuple[Any, ...] | None:
    texts = {path: text for path, text in documents.items() if path.startswith(f"stage{stage}/")}
    json_texts = [text for path, text in texts.items() if path.endswith(".json")]
    markdown = [text for path, text in texts.items() if path.endswith(".md")]
    if not texts:
        return None
    return simple_rows.stage_output_row(run_id, stage, markdown, json_texts[0] if json_texts else None)


def _row_id(run_id: str, name: str) -> str:
    return str(uuid.uuid5(_ID_NAMESPACE, f"{run_id}/{name}"))


def read_documents(run_dir: Path) -> dict[str, str]:
    """Return the texts of a run folder by their paths in it."""
    return {
        f"{stage}/{name}": Path(f"{run_dir}/{stage}/{name}").read_text()
        for stage in sorted(os.listdir(run_dir))  # noqa: PTH208 - as the other baselines list
        for name in sorted(os.listdir(f"{run_dir}/{stage}"))  # noqa: PTH208
    }


def publish(root: Path) -> None:
    """Send a message for each run folder."""
    for run_dir in sorted(root.iterdir()):
        if run_dir.is_dir():
            broker.enqueue(migrate_run.message(run_dir.name, read_documents(run_dir)))


if __name__ == "__main__":
    publish(Path(sys.argv[1]))
