"""Dispatch: what emitter and stage store share, by the phase in force: times, the queue, and the outbox."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from dramatiq import Message

from producers.database_thread import DatabaseThread
from producers.disk_clock import DiskClock
from producers.identity import publisher_name
from producers.live_queue import CALLS, Attempts, LiveQueue, live_message
from producers.outbox.flusher import Flusher
from producers.outbox.keeper import Keeper
from producers.outbox.outbox import Outbox
from shared.contract import Hints, Origin, OutputBody, RunFailed, RunStarted, StageOutputsMessage
from shared.database_url import DatabaseAddress
from shared.documents import Document
from shared.errors import QueueAway, SettingsError
from shared.ids import RunId, Stage
from shared.phase.follower import follow
from shared.phase.presence import Kept
from shared.settings import Phase, Settings

#: A time further ahead than this was not given by a working clock: somebody set a file's time.
_BELIEVED_AHEAD: Final = timedelta(days=1)

log = logging.getLogger(__name__)


class Dispatch:
    """Nothing is connected or started before the first use; may be shared by threads."""

    def __init__(self, settings: Settings, *, role: str, publisher: str | None = None) -> None:
        self.settings = settings
        self.publisher = publisher or publisher_name()
        self.batch_id = f"emit-{uuid4()}"
        self.outbox = Outbox(settings.home, settings.outbox_max_bytes)
        self.queue: LiveQueue | None = None
        if settings.redis_url is not None or settings.phase is not Phase.FILES_ONLY:
            self.queue = LiveQueue(settings)
        self.database: DatabaseThread | None = None
        if settings.database_url is not None:
            address = DatabaseAddress.parse(settings.database_url.get_secret_value())
            self.database = DatabaseThread(address, settings)
        self._clock = DiskClock(settings.home)
        self._follower = follow(settings, role=role, kept=self._kept)
        self._keeper = Keeper(
            Flusher(self.outbox, settings, self.queue, self.database),
            lambda: self._follower.phase() is not Phase.FILES_ONLY,
        )
        self._began = False

    def attempts(self) -> Attempts:
        """Return the calls to Redis that one emit may make, within its bound from now on."""
        return Attempts(self.settings.emit_timeout.total_seconds())

    def phase(self) -> Phase:
        """Return the phase in force."""
        phase = self._follower.phase(self.settings.emit_timeout.total_seconds() / CALLS)
        if not self._began:
            self._began = True
            if self.outbox.count():
                self._keeper.wake()
        if phase is not Phase.FILES_ONLY and self.queue is None:
            raise SettingsError(f"The phase is {phase.value}, and REDIS_URL is not set.")
        return phase

    def keeps(self, phase: Phase) -> bool:
        """Whether messages go through the outbox."""
        return phase is Phase.DB_ONLY or (self.settings.outbox_always and phase is not Phase.FILES_ONLY)

    def moment(
        self, run_id: RunId, stage: Stage, attempt: Attempts | None, *, after: datetime | None = None
    ) -> datetime:
        """Return the time of an output: Redis' where `attempt` is given and Redis answers, else this disk's."""
        after = self._believed(after)
        if attempt is not None and self.queue is not None:
            try:
                moment = self.queue.stamp(run_id, stage, attempt, after)
            except QueueAway as away:
                log.warning("Redis gives no time, this host's clock does: %s", away, extra={"run_id": run_id})
            else:
                self._clock.learn(moment)
                return moment
        return self._clock.stamp(after)

    def stamp(self, run_id: RunId, stage: Stage, attempt: Attempts) -> datetime:
        """Return the time of an output by Redis' clock; raises QueueAway."""
        if self.queue is None:
            raise QueueAway("REDIS_URL is not set.")
        moment = self.queue.stamp(run_id, stage, attempt)
        self._clock.learn(moment)
        return moment

    def message_of(
        self,
        run_id: RunId,
        stage: Stage,
        documents: tuple[Document, ...],
        moment: datetime,
        *,
        hints: Hints,
        wants_receipt: bool,
    ) -> StageOutputsMessage:
        """Return the message that carries one output of a pipeline."""
        return StageOutputsMessage(
            run_id=run_id,
            publisher=self.publisher,
            published_at=moment,
            origin=Origin.PIPELINE,
            batch_id=self.batch_id,
            wants_receipt=wants_receipt,
            outputs=(OutputBody.of(stage, documents, moment),),
            hints=hints,
        )

    def keep(self, message: StageOutputsMessage) -> Message[Any]:
        """Put an output's message into the outbox; raises OutboxFull and OSError."""
        made = live_message(message)
        output = message.outputs[0]
        self.outbox.put(made, RunId(message.run_id), output.stage, output.produced_at)
        return made

    def send(self, message: Message[Any], attempt: Attempts) -> None:
        """Send a message to the live queue; raises QueueAway."""
        if self.queue is None:
            raise QueueAway("REDIS_URL is not set.")
        self.queue.send(message, attempt)

    def send_now(self, message: StageOutputsMessage, attempt: Attempts) -> Message[Any]:
        """Send an output's message to the live queue without the outbox, and return it; raises QueueAway."""
        made = live_message(message)
        self.send(made, attempt)
        return made

    def send_kept(self, message: Message[Any], attempt: Attempts) -> bool:
        """Send a message that is in the outbox, and return whether Redis took it now; else the keeper sends it."""
        try:
            self.send(message, attempt)
        except QueueAway as away:
            run_id = message.kwargs["message"]["run_id"]
            ids = {"run_id": run_id, "message_id": message.message_id}
            log.warning("the message waits in the outbox: %s", away, extra=ids)
            return False
        finally:
            self._keeper.wake()
        return True

    def event(
        self, run_id: RunId, attempt: Attempts, event: Callable[[datetime], RunStarted | RunFailed]
    ) -> tuple[Message[Any], datetime]:
        """Stamp and send a run event; raises QueueAway."""
        if self.queue is None:
            raise QueueAway("REDIS_URL is not set.")
        moment = self.queue.stamp(run_id, 0, attempt)
        made = live_message(event(moment))
        self.queue.send(made, attempt)
        return made, moment

    def close(self) -> None:
        """Close connections and end threads; the next use starts them again."""
        self._keeper.close()
        self._follower.close()
        if self.database is not None:
            self.database.close()
        if self.queue is not None:
            self.queue.close()

    def _kept(self) -> Kept:
        usage = self.outbox.usage()
        return Kept(usage.entries, usage.bytes)

    def _believed(self, after: datetime | None) -> datetime | None:
        return after if after is not None and after < datetime.now(UTC) + _BELIEVED_AHEAD else None
