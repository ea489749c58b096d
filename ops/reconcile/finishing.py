"""Finishing: ends the reports that nobody waited for, and names those whose command is gone.

Whoever looks at reports finishes them, or the scheduler does; the code is that of a command that waited. What was
listed comes from the questions that were kept, what was found from the workers' answers: the sum can still fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

import asyncpg
import orjson

from ops.reconcile.keeping import ReportKept
from ops.reconcile.options import ReconcileOptions
from ops.reconcile.portions import Portion
from ops.reconcile.progress import ReconcileProgress
from ops.reconcile.proving import Proving
from ops.reconcile.queries import QUERIES
from ops.reconcile.tally import Tally
from shared import queues
from shared.broker.broker import RunferryBroker
from shared.connection_errors import DATABASE_LOST
from shared.counting import counted, word_for
from shared.errors import RetryableError, RunferryError
from shared.reconciling.slices import Answer
from shared.settings import Settings

_QUESTIONS_AT_ONCE: Final = 24
#: More than anybody asks again; the numbers last for some ten thousand attempts.
_SLICES_CLAIMED: Final = 100_000
ABANDONED: Final = "Its command ended without a word: it was killed, or lost the database."


async def finish_reports(
    connection: asyncpg.Connection,
    broker: RunferryBroker,
    settings: Settings,
    progress: ReconcileProgress,
    report_id: int | None = None,
    *,
    keeps_locks: bool = True,
) -> dict[int, str]:
    """End every report (or this one) that can be ended now; return why others can't, by their ids.

    Where a pooler hands sessions around (`keeps_locks` is False), nobody can tell whether a command still lives, and
    two may finish the same report: the first end counts.
    """
    waiting: dict[int, str] = {}
    for record in await connection.fetch(QUERIES["unfinished"], report_id):
        number: int = record["id"]
        if keeps_locks and not await connection.fetchval(QUERIES["hold_report"], number):
            waiting[number] = "it is being made right now"
            continue
        try:
            reason = await _finish(connection, broker, settings, progress, number, keeps_locks=keeps_locks)
        finally:
            if keeps_locks and not connection.is_closed():
                await connection.fetchval(QUERIES["let_report_go"], number)
        if reason is not None:
            waiting[number] = reason
    return waiting


async def _finish(
    connection: asyncpg.Connection,
    broker: RunferryBroker,
    settings: Settings,
    progress: ReconcileProgress,
    number: int,
    *,
    keeps_locks: bool,
) -> str | None:
    # Read again under the lock: somebody else may have ended it meanwhile.
    records = await connection.fetch(QUERIES["unfinished"], number)
    if not records:
        return None
    report = ReportKept(connection, number)
    left: Mapping[str, Any] | None = orjson.loads(records[0]["report"]).get("left")
    if left is None:
        if keeps_locks:
            await report.fail(ABANDONED)
            return None
        return "it is being made, or its command was killed"
    options = ReconcileOptions.of(orjson.loads(records[0]["scope"]), left["demands"])
    if records[0]["answered"] < left["slices"]:
        return await _unanswered(connection, broker, report, left["slices"])
    if not await asyncio.to_thread(options.root.is_dir):
        return f"the workers have answered; finish it where {options.root} is seen"
    numbers_from: int = await connection.fetchval(QUERIES["claim_slices"], number, _SLICES_CLAIMED)
    with closing(Tally()) as tally:
        try:
            proving = Proving(
                options, settings, connection, broker, tally, progress, None, number, first_slice=numbers_from
            )
            await _fold(connection, proving, number)
            await report.end(options, tally, await proving.conclude())
        # Whoever is interrupted here, or loses a store, leaves the answers to the next one who looks.
        except RetryableError as away:
            return f"the workers have answered; finish it later: {away}"
        except DATABASE_LOST:
            raise
        except Exception as error:
            await report.fail(str(error) or type(error).__name__)
            if not isinstance(error, RunferryError):
                raise
    return None


async def _unanswered(
    connection: asyncpg.Connection, broker: RunferryBroker, report: ReportKept, slices: int
) -> str | None:
    """Say how far it is; end it where the rest can't come any more."""
    # The queue first: a message leaves it only after its answer is committed.
    depth = (await asyncio.to_thread(broker.depths))[queues.RECONCILE]
    records = await connection.fetch(QUERIES["unfinished"], report.id)
    if not records or records[0]["answered"] >= slices:
        return "the workers have just answered"
    answered = records[0]["answered"]
    if depth.pending:
        return f"{answered:,} of {counted(slices, 'slice')} {word_for(answered, 'is', 'are')} answered"
    unanswered = slices - answered
    them = word_for(unanswered, "it", "them")
    await report.fail(
        f"{unanswered:,} of {counted(slices, 'slice')} {word_for(unanswered, 'was', 'were')} never answered, "
        f"and the queue is empty: Redis lost {them}, or workers died of {them}."
    )
    return None


async def _fold(connection: asyncpg.Connection, proving: Proving, number: int) -> None:
    after = 0
    while records := await connection.fetch(QUERIES["answered_questions"], number, after, _QUESTIONS_AT_ONCE):
        for record in records:
            portion = Portion.from_json(orjson.loads(record["asked"]))
            proving.folder.listed(portion)
            if record["answer"] is not None:
                answer = Answer.from_json(orjson.loads(record["answer"]))
                await proving.folder.fold(portion.asked, record["worker"], answer)
        after = records[-1]["slice"]
