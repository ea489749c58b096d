"""Consumption: what a consuming process runs beside Dramatiq's worker, from its first consumer to its shutdown."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Lock
from typing import Any

from shared.broker.heartbeat import Heartbeat
from shared.broker.holdings import Holding
from shared.broker.settler import Settlement, Settler
from shared.broker.tickets import Operation, Ticket
from shared.broker.wakeup import Wakeups


class Consumption:
    """The settler, the heartbeat and the wake-ups of one process, and what it holds of each queue."""

    def __init__(
        self,
        *,
        heartbeat: Heartbeat,
        wakeups: Wakeups,
        apply: Mapping[Operation, Callable[[str, Sequence[Ticket]], Any]],
    ) -> None:
        self.wakeups = wakeups
        self.settler = Settler(apply)
        self._heartbeat = heartbeat
        self._stopping = Event()
        self._stopping_since: float | None = None
        self._holdings: dict[str, Holding] = {}
        self._lock = Lock()

    @property
    def stopping(self) -> bool:
        """Whether the worker is shutting down: nothing more is fetched."""
        return self._stopping.is_set()

    def pause(self, duration_s: float) -> None:
        """Wait; a shutdown ends it."""
        self._stopping.wait(duration_s)

    def holding(self, queue: str) -> Holding:
        """Return what this process holds of `queue`."""
        with self._lock:
            if queue not in self._holdings:
                self._holdings[queue] = Holding(self.wakeups.event(queue))
            return self._holdings[queue]

    def held_messages(self) -> dict[str, int]:
        """Return how many messages this process holds of each queue."""
        with self._lock:
            return {queue: len(holding) for queue, holding in self._holdings.items()}

    def settle(self, operation: Operation, queue: str, ticket: Ticket) -> None:
        """Have a message settled soon, and make room for another one as soon as that was tried."""
        holding = self.holding(queue)
        redis_message_id = ticket.redis_message_id
        self.settler.submit(Settlement(operation, queue, ticket, lambda: holding.remove(redis_message_id)))

    def begin_stop(self) -> None:
        """Stop fetching; what is held is finished."""
        self._stopping_since = time.monotonic()
        self._stopping.set()
        self.wakeups.wake_all()

    def end(self, drain_timeout_s: float, leave: Callable[[], None]) -> None:
        """Send what is to be settled within the time since the stop began, leave, and end all threads."""
        elapsed_s = time.monotonic() - (self._stopping_since or time.monotonic())
        self.settler.drain(max(1.0, drain_timeout_s - elapsed_s))
        self._heartbeat.stop()
        # Only after the last beat, which would announce this worker again.
        leave()
        self.settler.stop()
        self.wakeups.stop()
