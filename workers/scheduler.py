"""The scheduler: has a sample of runs reconciled every few minutes, all of them each night, and reports finished.

Several may be started; the one that holds an advisory lock leads, and its end makes another the leader. What is due
is told by the reports in the database, so a new leader repeats nothing. Taking over the messages of dead workers needs
no leader: every worker sweeps with its heartbeat.

Run as `python -m workers.scheduler`; `worker --scheduler` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from time import time_ns
from typing import Final

import asyncpg
import structlog

from shared.command import DIFFERENCE, DONE, say
from shared.connection_errors import DATABASE_ERRORS
from shared.database import connect
from shared.errors import RunferryError
from shared.log import configure, report_uncaught
from shared.schema_version import check
from shared.settings import Settings
from shared.stores import Stores, resolve_stores
from workers.held_state import QUERIES
from workers.schedule import Due, Schedule

_TICK_S: Final = 5.0
_FINISH_AGAIN_S: Final = 600.0
#: The command that makes a report; it is another role's, so it runs as a process of its own.
#: Safe path: the folder that we run in may well have an `ops` or a `shared` of its own.
_REPORT: Final = (sys.executable, "-P", "-m", "ops.command", "reconcile", "--json")

#: A line on stderr may hold a sentence of anybody's making.
_LONGEST_LINE_BYTES: Final = 16 * 1024 * 1024

#: Makes a report with these arguments and returns the command's exit status.
MakeReport = Callable[[Sequence[str]], Awaitable[int]]

log = structlog.get_logger("workers.scheduler")  # it runs as __main__


class Scheduler:
    """Leads, or waits to lead, until `stop` is set."""

    def __init__(
        self, stores: Stores, settings: Settings, make_report: MakeReport, *, tick_s: float = _TICK_S
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._make_report = make_report
        self._tick_s = tick_s
        self._finish_at_s: dict[int, float] = {}
        self._schedule = Schedule(settings.reconcile_every, settings.reconcile_full_at)
        self.leads = False

    async def run(self, stop: asyncio.Event) -> None:
        """Run until stopped; while PostgreSQL is away, nobody leads."""
        while not stop.is_set():
            try:
                await self._lead(stop)
            except (*DATABASE_ERRORS, RunferryError) as error:
                log.warning("the scheduler waits for PostgreSQL", error=str(error))
            finally:
                self.leads = False
            await self._pause(stop)

    async def _lead(self, stop: asyncio.Event) -> None:
        connection = await connect(self._stores.database, self._settings)
        try:
            await check(connection)
            while not stop.is_set():
                # The lock lives with the session: whoever loses the connection leads no more.
                if not self.leads:
                    self.leads = await connection.fetchval(QUERIES["try_to_schedule"])
                    if self.leads:
                        log.info("this scheduler leads")
                if self.leads:
                    await self._do_what_is_due(connection)
                await self._pause(stop)
        finally:
            connection.terminate()

    async def _do_what_is_due(self, connection: asyncpg.Connection) -> None:
        for record in await connection.fetch(QUERIES["left_reports"]):
            # What can't be finished from here, a root that isn't seen, needn't be tried at each tick.
            if time.monotonic() >= self._finish_at_s.get(record["id"], 0.0):
                self._finish_at_s[record["id"]] = time.monotonic() + _FINISH_AGAIN_S
                await self._report("--report", str(record["id"]))
        row = await connection.fetchrow(QUERIES["last_reports"])
        now: datetime = row["now"]
        match self._schedule.due(now, row["last_full"], row["last_any"]):
            case Due.FULL:
                await self._report("--all")
            case Due.SAMPLE:
                seed = str(time_ns() % 1_000_000_007)
                await self._report("--sample", str(self._settings.reconcile_sample), "--seed", seed)
            case None:
                pass

    async def _report(self, *arguments: str) -> None:
        status = await self._make_report(arguments)
        if status == DONE:
            log.info("reconciled", runs=" ".join(arguments))
        elif status == DIFFERENCE:
            log.error("not balanced: see ops reconcile --history", runs=" ".join(arguments))
        else:
            log.error(
                "nothing could be proved: see ops reconcile --history", runs=" ".join(arguments), status=status
            )

    async def _pause(self, stop: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), self._tick_s)


async def make_report(arguments: Sequence[str]) -> int:
    """Run `ops reconcile` with these arguments to its end; what it prints is kept in its report."""
    process = await asyncio.create_subprocess_exec(
        *_REPORT,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE_BYTES,
    )
    try:
        # What it says to people becomes lines of this log, which may be JSON.
        while process.stderr is not None and (line := await process.stderr.readline()):
            if said := line.decode(errors="replace").strip():
                log.info("the report says", said=said)
        return await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise


async def _run(settings: Settings, parent_pid: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    scheduling = asyncio.create_task(Scheduler(resolve_stores(settings), settings, make_report).run(stop))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set() and not scheduling.done():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)
        if parent_pid is not None and os.getppid() != parent_pid:
            stop.set()
    if scheduling.done():
        # Nobody told it to end: by its error the process ends, and the supervisor begins another.
        scheduling.result()
    # A report that is being made is ended with us; the next leader makes another.
    scheduling.cancel()
    await asyncio.gather(scheduling, return_exceptions=True)


def main() -> None:
    """Run as a child of `worker --scheduler`."""
    parent = os.environ.get("RUNFERRY_WORKER_PARENT")
    try:
        settings = Settings.from_environment()
        configure(settings)
        report_uncaught()
        asyncio.run(_run(settings, int(parent) if parent else None))
    except RunferryError as error:
        say(f"worker --scheduler: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
