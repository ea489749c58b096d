"""Commits: waiting until an output is in the rows.

A worker notifies the commits of messages that want a receipt, once for all of a group commit. Behind it stands a
poll: notifications can be missed, and a transaction pooler passes none on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from producers.database_thread import DatabaseThread
from producers.receipt import Token
from producers.stage_store.rows import QUERIES
from shared.committed import CHANNEL, message_ids_in
from shared.connection_errors import DATABASE_ERRORS
from shared.errors import DatabaseAway, OutputDeadLettered, RunferryError, StageOutputNotFound

_FIRST_PAUSE_S: Final = 0.005
_POLL_S: Final = 0.25
#: Where nothing notifies, the poll is all there is.
_POOLER_POLL_S: Final = 0.05

_WRITTEN: Final = ("applied", "duplicate", "superseded", "mended")


@dataclass(frozen=True, slots=True)
class Landed:
    """What the rows say of a token's output."""

    is_visible: bool
    verdict: str | None
    letter_id: int | None
    reason: str | None
    sentence: str | None

    def check(self, token: Token) -> bool:
        """Return whether the output, or a later one, is there; raises OutputDeadLettered or StageOutputNotFound."""
        if self.is_visible or self.verdict in _WRITTEN:
            return True
        name = f"Stage {int(token.stage)} of {token.run_id}"
        if self.verdict == "dead_lettered":
            raise OutputDeadLettered(
                f"{name} is a dead letter: {self.sentence or 'the letter was removed.'} "
                f"See: ops dlq show {self.letter_id}",
                letter_id=self.letter_id,
                reason=self.reason,
            )
        if self.verdict == "deleted":
            raise StageOutputNotFound(f"{name} was not written to the rows: its Run was deleted in the web app.")
        return False


class Commits:
    """Waits on the loop of a database thread; listens on a connection of its own from the first wait on."""

    def __init__(self, database: DatabaseThread) -> None:
        self._database = database
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: asyncpg.Connection | None = None
        self._opening: asyncio.Lock | None = None
        self._events: dict[asyncio.Event, str] = {}

    def wait(self, token: Token, timeout_s: float) -> bool:
        """Return whether the output, or a later one, is in the rows within the time.

        Raises OutputDeadLettered, StageOutputNotFound, and DatabaseAway where PostgreSQL could not be asked at all.
        """
        # The thread's own end of the time is a little later, so that a last look is not cut off.
        return self._database.submit(self._wait(token, timeout_s), timeout_s + 2.0)

    async def _wait(self, token: Token, timeout_s: float) -> bool:
        # The first look comes before any listening: mostly the output is there already.
        deadline_s = time.monotonic() + timeout_s
        trouble = await self._try(token, timeout_s)
        if trouble is None:
            return True
        event = asyncio.Event()
        self._events[event] = token.message_id
        try:
            return await self._follow(token, event, deadline_s)
        finally:
            del self._events[event]

    async def _follow(self, token: Token, event: asyncio.Event, deadline_s: float) -> bool:
        pause_s = _FIRST_PAUSE_S
        while True:
            left_s = deadline_s - time.monotonic()
            notified = await self._listen(max(left_s, _POLL_S))
            event.clear()
            trouble = await self._try(token, left_s)
            if trouble is None:
                return True
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                if trouble:
                    raise DatabaseAway(f"PostgreSQL can't be asked: {trouble}")
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), min(pause_s, left_s))
            pause_s = min(pause_s * 2, _POLL_S if notified else _POOLER_POLL_S)

    async def _try(self, token: Token, left_s: float) -> str | None:
        """Return None where the output is there, else why it is not known to be: empty for not yet."""
        try:
            landed = await asyncio.wait_for(self._look(token), max(left_s, _POLL_S))
        except (*DATABASE_ERRORS, DatabaseAway) as error:
            return f"{type(error).__name__}: {error}"
        return None if landed.check(token) else ""

    async def _look(self, token: Token) -> Landed:
        pool = await self._database.pool()
        record = await pool.fetchrow(
            QUERIES["landed"],
            token.run_id,
            int(token.stage),
            token.content_sha256,
            token.batch_id,
            token.message_id,
        )
        return _landed_of(record, token)

    async def _listen(self, timeout_s: float) -> bool:
        """Have notifications heard, and return whether they are; a transaction pooler passes none on."""
        if self._database.address.transaction_pooler:
            return False
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._opening is None:
            self._loop, self._listening, self._opening = loop, None, asyncio.Lock()
        async with self._opening:
            if self._listening is not None and not self._listening.is_closed():
                return True
            try:
                connection = await asyncio.wait_for(self._database.connection(), timeout_s)
                await connection.add_listener(CHANNEL, self._hear)
            except (RunferryError, *DATABASE_ERRORS):
                return False
            self._listening = connection
            return True

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        ids = message_ids_in(payload)
        for event, message_id in self._events.items():
            if ids is None or not message_id or message_id in ids:
                event.set()


def _landed_of(record: Any, token: Token) -> Landed:
    applied_at = record["applied_produced_at"]
    return Landed(
        is_visible=applied_at is not None and applied_at >= token.produced_at,
        verdict=record["verdict"],
        letter_id=record["letter_id"],
        reason=record["reason"],
        sentence=record["sentence"],
    )
