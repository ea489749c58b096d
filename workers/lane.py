"""A lane of the writer: takes what waits, commits it together, and finds out whose fault a failure is.

A batch is what has come in while the one before was committed, so that it grows with the load.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import asyncpg
import structlog

from shared.broker.handback import HandBack
from shared.errors import Malformed
from shared.ids import RunId, Stage
from shared.reasons import Reason
from shared.verdicts import Verdict
from workers.commit_stats import CommitStats
from workers.intake import BadOutput, Intake, Undeliverable
from workers.pause import Pause, Stopping
from workers.transaction import Transactor
from workers.world import Fault, fault_of, is_locked, may_be_our_doing, reason_of

_MAX_BATCH_MESSAGES: Final = 64
_MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
#: Somebody else was faster; more often than this it is no race.
_MAX_RACES: Final = 10
#: An output that was alone at this many failures of a world that was whole before and after breaks it by itself.
_MAX_BREAKAGES_ALONE: Final = 5
_MAX_BREAKAGES_TOGETHER: Final = 2
#: A message whose run others hold comes back after so many lock time-outs: a lane spends most of its time on others.
_LOCKED_PAUSES: Final = 4

log = structlog.get_logger(__name__)

Verdicts = Mapping[Stage, Verdict]
Acquire = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]


@dataclass(frozen=True, slots=True)
class Item:
    """A judged message whose actor waits for the commit."""

    intake: Intake | Undeliverable
    done: Future[Verdicts]

    @property
    def size_bytes(self) -> int:
        """What counts toward the size of a batch."""
        return self.intake.size_bytes if isinstance(self.intake, Intake) else 0


class Lane:
    """One queue's share of the writer, with a connection of its own; lives on the writer's event loop."""

    def __init__(
        self,
        transactor: Transactor,
        acquire: Acquire,
        probe: Callable[[], Awaitable[None]],
        pause: Pause,
        stats: CommitStats,
    ) -> None:
        self._transactor = transactor
        self._acquire = acquire
        self._probe = probe
        self._pause = pause
        self._stats = stats
        self._waiting: deque[Item] = deque()
        self._wake = asyncio.Event()

    def put(self, item: Item) -> None:
        """Take in an item; must be called on the event loop."""
        self._waiting.append(item)
        self._wake.set()

    async def run(self) -> None:
        """Commit batches until cancelled."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch = self._take()
            try:
                await self._write(batch)
            except Stopping:
                self._hand_back(batch)
            except asyncio.CancelledError:
                self._hand_back(batch)
                raise
            except Exception as error:
                # A lane that ended by an error of ours would leave every message to wait for ever.
                log.exception("a batch was left unwritten by an error of the writer", messages=len(batch))
                for item in batch:
                    _fail(item, error)

    def _hand_back(self, batch: Sequence[Item]) -> None:
        for item in [*batch, *self._waiting]:
            _fail(item, Stopping())
        self._waiting.clear()

    def _take(self) -> list[Item]:
        batch = [self._waiting.popleft()]
        size_bytes = batch[0].size_bytes
        while self._waiting and len(batch) < _MAX_BATCH_MESSAGES:
            size_bytes += self._waiting[0].size_bytes
            if size_bytes > _MAX_BATCH_BYTES:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _write(self, batch: Sequence[Item]) -> None:
        """Commit a batch, whatever it takes; every item's future is done when this returns."""
        races = breakages = 0
        while True:
            began_s = time.monotonic()
            try:
                async with self._acquire() as connection:
                    verdicts = await self._transactor.write(connection, [item.intake for item in batch])
            except Exception as error:
                reason: Reason | None = None
                fault = fault_of(error)[0]
                self._stats.failures[fault] += 1
                match fault:
                    case Fault.RACE if races < _MAX_RACES:
                        races += 1
                        continue
                    case Fault.WORLD:
                        await self._pause.until_whole(reason_of(error), self._probe)
                        if is_locked(error):
                            # The world is whole, so some of these runs are held: the others need not wait for them.
                            await self._write_around(batch, error)
                            return
                        if not may_be_our_doing(error):
                            continue
                        breakages += 1
                        if breakages < (_MAX_BREAKAGES_TOGETHER if len(batch) > 1 else _MAX_BREAKAGES_ALONE):
                            continue
                        reason = Reason.BREAKS_THE_WORLD
                    case Fault.DATA:
                        reason = Reason.DATABASE_REFUSED
                    case Fault.UNKNOWN | Fault.RACE:
                        pass
                if len(batch) > 1:
                    log.warning(
                        "batch failed, looking for the one",
                        messages=len(batch),
                        run_ids=[item.intake.run_id for item in batch],
                        message_ids=[item.intake.consignment.message_id for item in batch],
                        error=str(error),
                    )
                    middle = len(batch) // 2
                    await self._write(batch[:middle])
                    await self._write(batch[middle:])
                    return
                await self._write_alone(batch[0], error, reason)
                return
            seconds = time.monotonic() - began_s
            for item, verdict in zip(batch, verdicts, strict=True):
                # A stopping process may have given up on it already.
                if not item.done.done():
                    item.done.set_result(verdict)
            self._stats.committed([item.intake for item in batch], verdicts, seconds)
            return

    async def _write_around(self, batch: Sequence[Item], error: Exception) -> None:
        """Write each message by itself; those of a run that others hold go back to the queue, for a while."""
        if len(batch) == 1:
            self._leave_locked(batch[0], error)
            return
        locked: dict[RunId, Exception] = {}
        for item in batch:
            run_id = _run_of(item)
            if run_id in locked:
                # Nobody waits twice for the same run: a pipeline may have sent all of its stages.
                self._leave_locked(item, locked[run_id])
                continue
            await self._write([item])
            if run_id is not None and (left := _left_because(item)) is not None:
                locked[run_id] = left

    def _leave_locked(self, item: Item, error: Exception) -> None:
        back_ms = self._transactor.lock_timeout * _LOCKED_PAUSES // timedelta(milliseconds=1)
        log.warning(
            "run is locked, trying again later", run_id=_run_of(item), in_s=back_ms / 1000, error=str(error)
        )
        _fail(item, HandBack(back_ms, str(error)))

    async def _write_alone(self, item: Item, error: Exception, reason: Reason | None) -> None:
        """The message fails alone: condemn its bad outputs, and commit the good ones with the dead letters."""
        if reason is None or not isinstance(item.intake, Intake) or not item.intake.good:
            _fail(item, error)
            return
        condemned = await self._condemned(item.intake, error, reason)
        await self._write([replace(item, intake=condemned)])

    async def _condemned(self, intake: Intake, error: Exception, reason: Reason) -> Intake:
        """Return the message with those outputs marked bad that fail by themselves; all of them where none does."""
        faults: dict[Stage, Exception] = {}
        if reason is Reason.DATABASE_REFUSED and len(intake.good) > 1:
            for good in intake.good:
                try:
                    async with self._acquire() as connection:
                        await self._transactor.rehearse(connection, replace(intake, good=(good,), bad=()))
                except Exception as single:
                    match fault_of(single)[0]:
                        case Fault.DATA:
                            faults[good.body.stage] = single
                        case Fault.WORLD | Fault.RACE:
                            # It says nothing about any output: the whole message is written again, once that passes.
                            return intake
                        case Fault.UNKNOWN:
                            pass
        if not faults:
            faults = {good.body.stage: error for good in intake.good}
        bad = tuple(
            BadOutput(good.candidate, good.body, _refused(reason, faults[good.body.stage]))
            for good in intake.good
            if good.body.stage in faults
        )
        spared = tuple(good for good in intake.good if good.body.stage not in faults)
        return replace(intake, good=spared, bad=intake.bad + bad)


def _run_of(item: Item) -> RunId | None:
    return item.intake.run_id if isinstance(item.intake, Intake) else None


def _left_because(item: Item) -> Exception | None:
    """Return why a message that was written goes back to the queue; None where it does not."""
    error = None if item.done.cancelled() or not item.done.done() else item.done.exception()
    return error if isinstance(error, HandBack) else None


def _refused(reason: Reason, error: Exception) -> Malformed:
    sentence = (
        f"PostgreSQL refuses the output: {error}."
        if reason is Reason.DATABASE_REFUSED
        else f"Whenever this output is written alone, the database fails: {error}."
    )
    malformed = Malformed(reason, sentence)
    malformed.__cause__ = error
    return malformed


def _fail(item: Item, error: BaseException) -> None:
    if not item.done.done():
        item.done.set_exception(error)
