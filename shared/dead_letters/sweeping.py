"""Sweeping: dead messages are taken out of Dramatiq's dead queues once they are committed as dead letters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import asyncpg
import orjson

from shared.broker.burial import DeadMessage
from shared.dead_letters.filing import Filing, filing_of
from shared.dead_letters.recording import record
from shared.sql import load_queries

_logger = logging.getLogger(__name__)

_QUERIES: Final = load_queries("shared.dead_letters")

#: What PostgreSQL raises for values that it can't hold.
_REFUSED: Final = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
#: Read at a time; each may be as large as a message may be.
_PORTION: Final = 20


class DeadQueue(Protocol):
    """The part of the broker that the sweep needs."""

    def dead_messages(self, queue: str, *, offset: int = 0, limit: int = 100) -> list[DeadMessage]: ...

    def forget_dead(self, queue: str, dead: Iterable[DeadMessage]) -> int: ...


async def sweep(connection: asyncpg.Connection, broker: DeadQueue, queues: Iterable[str]) -> int:
    """File all that is dead in these queues, and return how many letters were filed.

    Committed first and taken out of Redis then: dying in between is harmless, and so are two sweeps at once.
    """
    filed = 0
    for queue in queues:
        left = 0
        while dead := await asyncio.to_thread(broker.dead_messages, queue, offset=left, limit=_PORTION):
            try:
                filed += await _file(connection, [filing_of(message) for message in dead])
                await asyncio.to_thread(broker.forget_dead, queue, dead)
            except _REFUSED:
                for message in dead:
                    # One that PostgreSQL refuses stays where it is, and holds no other back.
                    try:
                        filed += await _file(connection, [filing_of(message)])
                    except _REFUSED as error:
                        left += 1
                        _logger.error("Can't file the dead message %s: %s", message.redis_message_id, error)  # noqa: TRY400
                    else:
                        await asyncio.to_thread(broker.forget_dead, queue, [message])
    return filed


async def _file(connection: asyncpg.Connection, filings: Sequence[Filing]) -> int:
    async with connection.transaction():
        noted = await connection.fetch(_QUERIES["note_deliveries"], *_columns(filings))
        fresh = {(row["batch_id"], row["message_id"]) for row in noted}
        letters = [letter for filing in filings if filing.key in fresh for letter in filing.letters]
        await record(connection, letters)
    return len(letters)


def _columns(filings: Sequence[Filing]) -> list[list[Any]]:
    rows = [
        (
            filing.delivery.batch_id,
            filing.delivery.message_id,
            filing.run_id,
            filing.origin,
            filing.publisher,
            filing.published_at,
            f"{filing.worker.host}:{filing.worker.pid}",
            filing.delivery.attempts,
            orjson.dumps(filing.verdicts).decode(),
        )
        for filing in filings
    ]
    return [list(column) for column in zip(*rows, strict=True)]
