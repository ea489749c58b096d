"""Following: what the main thread does while the feed reads and publishes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from producers.delivery_watch import DeliveryWatch
from producers.feed import Feed
from producers.progress import Reporter, Snapshot
from producers.publisher import Publisher
from producers.sinks import Outbound
from producers.tally import Tally
from producers.vigil import Vigil
from producers.worker_processes import WorkerProcesses
from shared import queues
from shared.broker.broker import RunferryBroker
from shared.counting import counted
from shared.errors import QueueAway

_TICK_S: Final = 0.2
#: The first pause once all is sent and little is open; it grows while nothing is heard.
_LAST_TICK_S: Final = 0.02
#: So few open messages may be asked for that often.
_FEW: Final = 200
_LOOK_AT_WORKERS_S: Final = 1.0
_SAY_AGAIN_S: Final = 10.0
#: PostgreSQL answers in milliseconds; a hung one is waited for by the statement's time-out.
_LONG_ANSWER_S: Final = 3.0


class GaveUpError(Exception):
    """Nothing more is to be expected; the text says why."""


class Follower:
    """Follows one backfill; publisher and watch are None where there is nothing of the kind."""

    def __init__(
        self,
        feed: Feed,
        tally: Tally,
        reporter: Reporter,
        *,
        total: Callable[[], int | None],
        broker: RunferryBroker | None = None,
        publisher: Publisher | None = None,
        outbound: Outbound | None = None,
        watch: DeliveryWatch | None = None,
        workers: WorkerProcesses | None = None,
        worker_timeout_s: float,
    ) -> None:
        self._feed = feed
        self._tally = tally
        self._reporter = reporter
        self._total = total
        self._broker = broker
        self._publisher = publisher
        self._outbound = outbound
        self._watch = watch
        self._workers = workers
        self._vigil = Vigil(worker_timeout_s, own_workers=workers is not None)
        self._start_s = time.monotonic()
        self._look_at_s = self._start_s + _LOOK_AT_WORKERS_S
        self._said: dict[str, float] = {}
        self._looking: asyncio.Future[int] | None = None
        self._asked_s = self._start_s

    async def follow(self, feeding: asyncio.Future[None]) -> None:
        """Return when the feed is through and everything sent was heard of; raises GaveUpError."""
        try:
            await self._follow(feeding)
        finally:
            if self._looking is not None:
                self._looking.cancel()

    async def _follow(self, feeding: asyncio.Future[None]) -> None:
        pause_s = _TICK_S
        while True:
            fed = feeding.done()
            heard = await self._hear()
            self._reporter.update(self._snapshot())
            is_heard = self._looking is None and (self._watch is None or self._watch.is_done)
            if fed and (is_heard or feeding.exception() is not None):
                return
            self._say_troubles()
            if time.monotonic() >= self._look_at_s:
                self._look_at_s = time.monotonic() + _LOOK_AT_WORKERS_S
                await self._look_at_workers()
            if not fed:
                await asyncio.wait([feeding], timeout=_TICK_S)
            else:
                pause_s = self._pause_s(pause_s, heard)
                await asyncio.sleep(pause_s)

    async def _hear(self) -> int:
        """Ask what was handled meanwhile; an answer that takes longer than a tick is for a later call."""
        if self._watch is None:
            return 0
        if self._looking is None:
            self._looking, self._asked_s = asyncio.ensure_future(self._watch.look()), time.monotonic()
        await asyncio.wait([self._looking], timeout=_TICK_S)
        if not self._looking.done():
            if time.monotonic() - self._asked_s > _LONG_ANSWER_S:
                self._say_now_and_then("Waiting for PostgreSQL: it takes long to answer.")
            return 0
        looking, self._looking = self._looking, None
        return looking.result()

    def _pause_s(self, last_s: float, heard: int) -> float:
        """Return how long to wait before the next look: whoever waits for the end shall not wait for a tick."""
        if self._outbound is not None and heard and len(self._outbound) <= _FEW:
            return _LAST_TICK_S
        return min(2 * last_s, _TICK_S)

    def _snapshot(self) -> Snapshot:
        waiting = self._publisher.waiting if self._publisher is not None else None
        reason = waiting.reason if waiting is not None else None
        if reason is None and self._feed.settling:
            reason = counted(self._feed.settling, "run settles", "runs settle")
        return Snapshot(
            elapsed_s=time.monotonic() - self._start_s,
            scanned=self._tally.runs,
            published=self._tally.published_messages if self._publisher is not None else None,
            committed=self._tally.handled_messages if self._watch is not None else None,
            total=self._total(),
            waiting=reason,
        )

    def _say_troubles(self) -> None:
        waiting = self._publisher.waiting if self._publisher is not None else None
        if waiting is not None and not waiting.for_workers:
            self._say_now_and_then(f"Publishing waits: {waiting.reason}")
        if self._watch is not None and self._watch.away is not None:
            self._say_now_and_then(f"Waiting for PostgreSQL: {self._watch.away}")

    def _say_now_and_then(self, sentence: str) -> None:
        now_s = time.monotonic()
        if now_s >= self._said.get(sentence, 0.0):
            self._said[sentence] = now_s + _SAY_AGAIN_S
            self._reporter.note(sentence)

    async def _look_at_workers(self) -> None:
        if self._workers is not None and (status := self._workers.exit_status()) is not None:
            raise GaveUpError(self._with_log(f"The workers ended by themselves, with status {status}."))
        blocked = self._publisher is not None and self._publisher.waiting is not None
        unheard = len(self._outbound) if self._watch is not None and self._outbound is not None else 0
        if self._broker is None or not (blocked or unheard):
            self._vigil.rest()
            return
        try:
            workers = await asyncio.to_thread(self._broker.live_workers)
            depth = (await asyncio.to_thread(self._broker.depths))[queues.BACKFILL]
            hold = (await asyncio.to_thread(self._broker.holds)).get(queues.BACKFILL)
        except QueueAway as away:
            self._say_now_and_then(f"Waiting for Redis: {away}")
            return
        sight = self._vigil.look(
            workers, queued=depth.pending, buried=depth.dead, unheard=unheard, now_s=time.monotonic(), hold=hold
        )
        if sight.give_up is not None:
            raise GaveUpError(self._with_log(sight.give_up))
        if sight.note is not None:
            self._reporter.note(sight.note)

    def _with_log(self, sentence: str) -> str:
        if self._workers is None:
            return sentence
        return f"{sentence} The end of {self._workers.log}:\n{self._workers.tail()}"
