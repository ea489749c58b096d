"""PostgreSQL for code that is not async: a small pool on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, TypeVar

import asyncpg

from shared.connection_errors import DATABASE_ERRORS
from shared.database import connect, create_pool
from shared.database_url import DatabaseAddress
from shared.errors import DatabaseAway, RunferryError
from shared.settings import Settings

_MOST_CONNECTIONS: Final = 4

R = TypeVar("R")


class DatabaseThread:
    """Runs coroutines with a pool; nothing is started or connected before the first one.

    May be shared by threads, and begins anew after a fork. Every method raises DatabaseAway, whatever PostgreSQL's
    trouble is: callers have another place to look, or something else to wait for.
    """

    def __init__(self, address: DatabaseAddress, settings: Settings) -> None:
        self.address = address
        self.settings = settings
        self._lock = threading.Lock()
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: asyncpg.Pool | None = None
        self._pool_lock: asyncio.Lock | None = None
        self._others: set[asyncpg.Connection] = set()

    def run(self, function: Callable[[asyncpg.Pool], Awaitable[R]], timeout_s: float) -> R:
        """Return what `function` returns when it is handed the pool, within `timeout_s` or DatabaseAway is raised."""

        async def with_pool() -> R:
            return await function(await self.pool())

        return self.submit(with_pool(), timeout_s)

    def submit(self, coroutine: Coroutine[Any, Any, R], timeout_s: float) -> R:
        """Run a coroutine on the thread's loop and return what it returns."""
        future: Future[R] = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            future.cancel()
            raise DatabaseAway(f"PostgreSQL did not answer within {timeout_s:g} s.") from None
        except FutureCancelledError:
            raise DatabaseAway("The connection was closed meanwhile.") from None
        except RunferryError:
            raise
        except DATABASE_ERRORS as error:
            raise DatabaseAway(f"PostgreSQL can't answer: {error}") from error

    async def pool(self) -> asyncpg.Pool:
        """Return the pool, opened; must be called on the thread's loop."""
        if self._pool_lock is None:
            self._pool_lock = asyncio.Lock()
        async with self._pool_lock:
            if self._pool is None:
                few = {"pool_min_size": 1, "pool_max_size": _MOST_CONNECTIONS}
                self._pool = await create_pool(self.address, self.settings.model_copy(update=few))
            return self._pool

    async def connection(self) -> asyncpg.Connection:
        """Return an open connection outside of the pool, closed with this; must be called on the thread's loop."""
        opened = await connect(self.address, self.settings)
        self._others = {other for other in self._others if not other.is_closed()} | {opened}
        return opened

    def close(self) -> None:
        """Close the connections and end the thread; the next use starts both again."""
        with self._lock:
            loop, self._loop = self._loop, None
            pool, self._pool, self._pool_lock = self._pool, None, None
            others, self._others = self._others, set()
            if loop is None or self._pid != os.getpid():
                return

            def end() -> None:
                for opened in [*others, *([] if pool is None else [pool])]:
                    with contextlib.suppress(Exception):
                        opened.terminate()
                for task in asyncio.all_tasks(loop):
                    task.cancel()
                loop.call_soon(loop.stop)

            loop.call_soon_threadsafe(end)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop, self._pool, self._pool_lock = asyncio.new_event_loop(), None, None
                self._others = set()
                self._pid = os.getpid()
                threading.Thread(target=_serve, args=(self._loop,), name="runferry-database", daemon=True).start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
