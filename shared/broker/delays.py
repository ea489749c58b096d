"""The consumer of a delay queue: moves messages to their queue when they are due.

They wait in Redis, ordered by when they are due, and never in a worker: nothing strands with a worker, a long
delay holds back no short one, and any number of them costs no memory here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import redis
from dramatiq.broker import Consumer

from shared.broker.consumption import Consumption

_logger = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 1.0


class DelayConsumer(Consumer):
    """Never hands out a message. `promote` moves what is due, and returns ms until more is; -1 for never."""

    def __init__(
        self, promote: Callable[[], int], consumption: Consumption, queue_name: str, timeout_ms: int
    ) -> None:
        self.queue_name = queue_name
        self._promote = promote
        self._consumption = consumption
        self._timeout_s = timeout_ms / 1000
        self._arrived = consumption.wakeups.event(queue_name)
        self._pause_s = 0.0

    def __next__(self) -> Any:
        self._arrived.clear()
        if self._consumption.stopping:
            self._arrived.wait(_FIRST_PAUSE_S)
            return None
        try:
            due_in_ms = self._promote()
        except (redis.RedisError, OSError) as error:
            if self._pause_s == 0.0:
                _logger.warning("Can't look after queue %s, waiting for Redis: %s", self.queue_name, error)
            self._pause_s = min(max(_FIRST_PAUSE_S, self._pause_s * 2), _LONGEST_PAUSE_S)
            self._consumption.pause(self._pause_s)
            return None
        self._pause_s = 0.0
        if due_in_ms:
            self._arrived.wait(self._timeout_s if due_in_ms < 0 else min(due_in_ms / 1000, self._timeout_s))
        return None
