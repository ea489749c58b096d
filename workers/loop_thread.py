"""Loop thread: an event loop in a thread of its own, for the actors of a process, which have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads from `start` on; `close` is awaited last, before the rest is cancelled."""

    def __init__(self, name: str, close: Callable[[], Awaitable[None]]) -> None:
        self._close = close
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._ready = threading.Event()
        # A daemon: a process that was told twice to end must not wait for a database that never answers.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; returns once it takes coroutines."""
        self._thread.start()
        self._ready.wait()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine, in the caller's context; its future is cancelled where the thread ends before."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._started())

    def call(self, callback: Callable[[], None]) -> None:
        """Call something on the loop, soon."""
        self._started().call_soon_threadsafe(callback)

    def stop(self, timeout: timedelta) -> None:
        """End the thread, within `timeout` or not at all; nothing happens where it was never started."""
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(timeout.total_seconds())

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise AssertionError(f"the thread {self._thread.name} was not started")
        return self._loop

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._end.wait()
        await self._close()
