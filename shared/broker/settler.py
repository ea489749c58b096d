"""The settler: ends the hold on messages for all threads of a process, many in one round trip.

While one round trip is under way, what else is done piles up and makes the next batch; so batches grow with the
load, and nothing lingers without it. What can't be sent is kept until Redis is back. A settlement that never
arrives only means that the message is delivered again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from threading import Condition, Thread
from typing import Any, Final

import redis
from dramatiq.errors import BrokerConnectionError

from shared.broker.client import is_away
from shared.broker.tickets import Operation, Ticket
from shared.errors import QueueAway

_logger = logging.getLogger(__name__)

_BATCH: Final = 256
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


def _nothing() -> None:
    return None


@dataclass(slots=True, eq=False)
class Settlement:
    """One hold to end. `attempted` is called once, when it was sent for the first time, whatever came of it."""

    operation: Operation
    queue: str
    ticket: Ticket
    attempted: Callable[[], None] = field(default=_nothing)


class Settler:
    """Sends settlements from one thread; `apply` sends those of one operation on one queue."""

    def __init__(self, apply: Mapping[Operation, Callable[[str, Sequence[Ticket]], Any]]) -> None:
        self._apply = apply
        self._changed = Condition()
        self._waiting: deque[Settlement] = deque()
        self._under_way: list[Settlement] = []
        self._stopped = False
        self._thread = Thread(target=self._run, name="runferry-settler", daemon=True)
        self._thread.start()

    def submit(self, settlement: Settlement) -> None:
        """Have a settlement sent soon; never blocks on Redis."""
        with self._changed:
            self._waiting.append(settlement)
            if not self._under_way:
                self._changed.notify_all()

    def unsent(self, queue: str) -> set[str]:
        """Return the ids of one queue whose settlement is not confirmed."""
        with self._changed:
            settlements = [*self._waiting, *self._under_way]
        return {settlement.ticket.redis_message_id for settlement in settlements if settlement.queue == queue}

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything is confirmed; False when the time is over first."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._under_way), timeout_s)

    def stop(self) -> None:
        """End the thread; what is unsent is dropped."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return
                batch = self._under_way = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            unsent = self._send_all(batch)
            with self._changed:
                self._waiting.extendleft(reversed(unsent))
                self._under_way = []
                self._changed.notify_all()
                if unsent:
                    self._changed.wait_for(lambda: self._stopped, pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                else:
                    pause_s = _FIRST_PAUSE_S

    def _send_all(self, batch: Sequence[Settlement]) -> list[Settlement]:
        """Send a batch and return what has to be sent again."""
        unsent: list[Settlement] = []
        ordered = sorted(batch, key=_target)
        for (queue, operation), group in groupby(ordered, key=_target):
            settlements = list(group)
            try:
                self._apply[operation](queue, [settlement.ticket for settlement in settlements])
            except Exception as error:
                if _passes(error):
                    _logger.warning("Can't settle messages of queue %s, will try again: %s", queue, error)
                    unsent += settlements
                elif len(settlements) > 1:
                    for settlement in settlements:
                        unsent += self._send_all([settlement])
                else:
                    # It stays unsettled: delivered again when this worker ends. Whatever it is, the others go on.
                    _logger.exception(
                        "A message of queue %s can't be settled",
                        queue,
                        extra={"run_id": settlements[0].ticket.entries.run_id},
                    )
            finally:
                for settlement in settlements:
                    settlement.attempted()
                    settlement.attempted = _nothing
        return unsent


def _passes(error: Exception) -> bool:
    if isinstance(error, redis.RedisError):
        return is_away(error)
    return isinstance(error, BrokerConnectionError | QueueAway | OSError)


def _target(settlement: Settlement) -> tuple[str, Operation]:
    return settlement.queue, settlement.operation
