"""The writer: commits the outputs of all actors of a process together, on an event loop in a thread of its own.

Actors call `submit` and wait; the future is done after the commit, so that the ack always comes after it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import structlog

from shared import queues
from shared.database import create_pool
from shared.database_url import DatabaseAddress
from shared.schema_version import check
from shared.settings import Settings
from shared.verdicts import Verdict
from workers.canary import make_canary
from workers.commit_stats import CommitStats
from workers.fast_path import FastPath, session_settings
from workers.intake import Intake, Undeliverable
from workers.lane import Item, Lane, Verdicts
from workers.loop_thread import LoopThread
from workers.pause import Pause, Stopping
from workers.transaction import Transactor
from workers.world import Fault, fault_of

#: Live outputs have a lane, and so a connection, of their own: a backfill never delays them.
LANES: Final = (queues.LIVE, queues.BACKFILL)

#: What is done now and then with a connection of the writer's pool.
Chore = Callable[[asyncpg.Connection], Awaitable[None]]

log = structlog.get_logger(__name__)


class Writer:
    """Group commit for the actors of one process; connects only when the first item comes."""

    def __init__(self, address: DatabaseAddress, settings: Settings, pause: Pause, worker: str) -> None:
        self._address = address
        self._settings = settings
        self._pause = pause
        quiet, lock_timeout = settings.quiet, settings.writer_lock_timeout
        # Behind a transaction pooler statements are planned each time, and sessions can't be told how.
        fast_path = None if address.transaction_pooler else FastPath()
        self.transactor = Transactor(quiet, lock_timeout, worker, fast_path)
        self._pool: asyncpg.Pool | None = None
        self._pool_lock = asyncio.Lock()
        self._lanes: Mapping[str, Lane] = {}
        self.stats: Final = {name: CommitStats() for name in LANES}
        self._chores: list[tuple[timedelta, Chore]] = []
        self._arrived: deque[tuple[str, Item]] = deque()
        self._scheduled = False
        self._arrival_lock = threading.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._thread = LoopThread("writer", self._close)

    @property
    def stopping(self) -> bool:
        """Whether the process was asked to end: nothing more needs to be begun."""
        return self._pause.stopping

    def every(self, interval: timedelta, chore: Chore) -> None:
        """Have a chore done at an interval, from the start on; must be called before it."""
        self._chores.append((interval, chore))

    def start(self) -> None:
        """Start the writer's thread."""
        self._thread.start()
        self._thread.run(self._begin()).result()

    def stop(self, timeout: timedelta) -> None:
        """Finish what can be finished within `timeout`; actors still waiting then get Stopping."""
        self._pause.stopping = True
        self._thread.stop(timeout)
        for _, item in self._arrived:
            item.done.cancel()

    def counters(self) -> dict[str, int]:
        """Return how many outputs were handled since the start, by verdict."""
        outputs = sum((stats.outputs for stats in self.stats.values()), Counter[Verdict]())
        # Plain text: an announcement is JSON, which knows no enums as keys.
        return {str(verdict): count for verdict, count in outputs.items()}

    def submit(self, queue: str, intakes: Sequence[Intake | Undeliverable]) -> list[Future[Verdicts]]:
        """Hand judged messages to the lane of their queue, together; each future is done once its is committed."""
        items = [Item(intake, Future()) for intake in intakes]
        waiting: list[Future[Verdicts]] = [item.done for item in items]
        with self._arrival_lock:
            self._arrived.extend((queue, item) for item in items)
            if self._scheduled:
                return waiting
            self._scheduled = True
        # One hand-off wakes the loop for everything that arrives until it looks.
        self._thread.call(self._deal)
        return waiting

    def _deal(self) -> None:
        with self._arrival_lock:
            arrived = list(self._arrived)
            self._arrived.clear()
            self._scheduled = False
        for queue, item in arrived:
            lane = self._lanes.get(queue) or self._lanes[queues.BACKFILL]
            lane.put(item)

    async def _begin(self) -> None:
        self._lanes = {
            name: Lane(
                self.transactor,
                self._connection,
                self._probe,
                self._pause,
                self.stats[name],
            )
            for name in LANES
        }
        self._tasks += [asyncio.create_task(lane.run(), name=f"lane-{name}") for name, lane in self._lanes.items()]
        self._tasks += [asyncio.create_task(self._repeat(*chore), name="chore") for chore in self._chores]

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, Stopping):
                log.error("a lane of the writer failed", error=repr(result))
        await self._close_pool()

    async def _repeat(self, interval: timedelta, chore: Chore) -> None:
        """Do a chore again and again; a failing one waits for its next turn, the lanes find out what is broken."""
        while True:
            await asyncio.sleep(interval.total_seconds())
            if self._pause.world_reason:
                continue
            try:
                async with self._connection() as connection:
                    await chore(connection)
            except Exception as error:
                log.info("a chore failed, its next turn comes", error=f"{type(error).__name__}: {error}")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        pool = await self._open_pool()
        async with pool.acquire() as connection:
            yield connection

    async def _open_pool(self) -> asyncpg.Pool:
        async with self._pool_lock:
            if self._pool is None:
                self._pool = await create_pool(
                    self._address, self._settings, session_settings(self.transactor.lock_timeout)
                )
            return self._pool

    async def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _probe(self) -> None:
        """Raise unless the database can be written to again, by the schema that this version needs."""
        # A session keeps what held when it was opened: a read-only default, a server that is a standby by now.
        await (await self._open_pool()).expire_connections()
        async with self._connection() as connection:
            await check(connection)
            if await connection.fetchval(
                "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'"
            ):
                raise asyncpg.ReadOnlySQLTransactionError("the database is still read-only")
            try:
                await self.transactor.rehearse(connection, make_canary(datetime.now(UTC)))
            except Exception as error:
                # Whatever else is wrong with the canary, the world is whole enough to say so.
                if fault_of(error)[0] is Fault.WORLD:
                    raise
