"""Serving: the endpoint of the system, which looks at both stores whenever it is scraped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Final

from prometheus_client import Metric as Family

from ops.metrics.system import families
from ops.status.looking import Onlooker
from ops.status.overview import Overview
from shared.errors import UsageError
from shared.metrics.endpoint import Endpoint
from shared.settings import Settings
from shared.stores import Stores

_TICK_S: Final = 1.0
#: Prometheus gives up after 10 s by default; a store that hangs must be told of before.
_ANSWER_S: Final = 8.0
_CONNECT: Final = timedelta(seconds=2)
_STATEMENT: Final = timedelta(seconds=5)
#: Several that scrape at once share one look.
_FRESH_S: Final = 1.0


class SystemCollector:
    """Looks on the event loop that `loop` is, for the threads that answer scrapes."""

    def __init__(self, onlooker: Onlooker, loop: asyncio.AbstractEventLoop) -> None:
        self._onlooker = onlooker
        self._loop = loop
        self._turn = asyncio.Lock()
        self._last: tuple[float, Overview, float] | None = None

    def collect(self) -> Iterator[Family]:
        """Yield every metric, as the system is now."""
        looked = asyncio.run_coroutine_threadsafe(self._look(), self._loop)
        overview, look_s = looked.result(2 * _ANSWER_S)
        return families(overview, look_s)

    async def _look(self) -> tuple[Overview, float]:
        async with self._turn:
            began_s = time.monotonic()
            if self._last is None or began_s - self._last[0] > _FRESH_S:
                overview = await self._onlooker.look()
                self._last = (time.monotonic(), overview, time.monotonic() - began_s)
            return self._last[1], self._last[2]


def patient(settings: Settings) -> Settings:
    """Return settings under which a look ends before Prometheus gives up."""
    return settings.model_copy(
        update={
            "connect_timeout": min(settings.connect_timeout, _CONNECT),
            "statement_timeout": min(settings.statement_timeout, _STATEMENT),
        }
    )


async def serve(stores: Stores, settings: Settings, host: str, port: int, parent_pid: int | None) -> None:
    """Serve until told to end; with `parent_pid`, also when that parent is gone.

    Raises UsageError where the port is taken, unless a supervisor would only start this again: then it is waited for.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with closing(Onlooker(stores, patient(settings))) as onlooker:
        served = Endpoint(SystemCollector(onlooker, loop), host, port)
        while not stop.is_set():
            served.tend()
            if parent_pid is None and not served.is_open:
                raise UsageError(f"Port {port} of {host} can't be had; choose another with --port.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _TICK_S)
            if parent_pid is not None and os.getppid() != parent_pid:
                break
        await asyncio.to_thread(served.close)
