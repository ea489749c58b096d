"""Keeping: the row of `runferry.reconcile_report`, from its beginning to an end, however the report ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Final

import asyncpg
import orjson

from ops.reconcile.options import ReconcileOptions
from ops.reconcile.progress import ReconcileProgress
from ops.reconcile.queries import QUERIES
from ops.reconcile.report import Ending, kept
from ops.reconcile.tally import Tally
from shared.connection_errors import DATABASE_LOST

RETENTION: Final = timedelta(days=90)
INTERRUPTED: Final = "It was interrupted."


class ReportKept:
    """One report in the database. While its session lives, nobody else touches it."""

    def __init__(self, connection: asyncpg.Connection, report_id: int) -> None:
        self._connection = connection
        self.id = report_id

    @classmethod
    @contextlib.asynccontextmanager
    async def begin(
        cls, connection: asyncpg.Connection, options: ReconcileOptions, progress: ReconcileProgress
    ) -> AsyncIterator[ReportKept]:
        """Begin a report, and end it with the reason where what is done inside fails."""
        await connection.execute(QUERIES["forget_reports"], RETENTION)
        async with connection.transaction():
            report_id: int = await connection.fetchval(
                QUERIES["begin_report"], orjson.dumps(options.scope()).decode()
            )
            # Before anybody can see the row: a report that nobody holds is taken for abandoned.
            await connection.fetchval(QUERIES["hold_report"], report_id)
        async with cls(connection, report_id).failing(progress) as report:
            yield report

    @contextlib.asynccontextmanager
    async def failing(self, progress: ReconcileProgress) -> AsyncIterator[ReportKept]:
        """End the report with the reason where what is done inside fails or is interrupted."""
        try:
            yield self
        except BaseException as error:
            # Also on Ctrl-C: a report that nobody ends would be answered for ever.
            interrupted = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
            await self.fail(INTERRUPTED if interrupted else str(error) or type(error).__name__)
            if interrupted:
                progress.note(
                    f"Report #{self.id} ends here, and proves nothing; workers drop what is still asked."
                )
            raise

    async def fail(self, reason: str) -> None:
        """End the report with the reason why nothing is proved, as far as the database is there."""
        with contextlib.suppress(*DATABASE_LOST, asyncpg.PostgresError, OSError):
            await asyncio.shield(self._end(None, {"error": reason}))

    async def end(self, options: ReconcileOptions, tally: Tally, ending: Ending) -> None:
        """End the report with what it comes to."""
        await self._end(tally.is_balanced, kept(options, tally, ending))

    async def leave(self, options: ReconcileOptions, slices: int, last_slice: int) -> None:
        """Leave the report to whoever finishes it; so many slices were asked, numbered up to the last."""
        left = {"left": {"slices": slices, "last_slice": last_slice, "demands": options.demands()}}
        await self._connection.execute(QUERIES["leave_report"], self.id, orjson.dumps(left).decode())

    async def _end(self, balanced: bool | None, report: dict[str, Any]) -> None:
        await self._connection.execute(QUERIES["end_report"], self.id, balanced, orjson.dumps(report).decode())


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end what is done inside as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
