"""The live queue as pipeline stages see it: stamps and sends within a bound, whatever Redis does."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import redis
from dramatiq import Message

from shared import queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.contract import RunFailed, RunStarted, StageOutputsMessage, to_wire
from shared.errors import QueueAway, SettingsError
from shared.ids import RunId
from shared.settings import Settings

#: A stamp, the sending, and one more try of either: together they stay within the emit time-out.
CALLS: Final = 3

R = TypeVar("R")


class Attempts:
    """Calls Redis, and once more where the first try failed and time is left: a pooled connection may be stale.

    All calls of one emit, from the making of this object on, stay within `timeout_s`.
    """

    def __init__(self, timeout_s: float) -> None:
        self._last_start_s = time.monotonic() + timeout_s * (CALLS - 1) / CALLS
        self._failed = False

    def __call__(self, function: Callable[[], R]) -> R:
        """Return what `function` returns; raises QueueAway."""
        while True:
            if time.monotonic() > self._last_start_s:
                raise QueueAway("Redis did not answer in time.")
            try:
                return _call(function)
            except QueueAway:
                if self._failed or time.monotonic() > self._last_start_s:
                    raise
                # Only the first failure of an emit has time left for another call.
                self._failed = True


class LiveQueue:
    """Connects when it is first used; may be shared by threads. Raises SettingsError where REDIS_URL is not set."""

    def __init__(self, settings: Settings) -> None:
        if settings.redis_url is None:
            raise SettingsError(
                "REDIS_URL is not set: an emitter needs the Redis of the workers, and never starts one itself."
            )
        self.broker: RunferryBroker = make_broker(
            settings.redis_url.get_secret_value(), settings, patience=settings.emit_timeout / CALLS
        )

    def stamp(self, run_id: RunId, stage: int, attempt: Attempts, after: datetime | None = None) -> datetime:
        """Return Redis' time, later than any before for that run and stage, and than `after`; raises QueueAway."""
        return attempt(lambda: self.broker.stamp(run_id, stage, after))

    def send(self, message: Message[Any], attempt: Attempts) -> None:
        """Send a message; raises QueueAway, and then it may still arrive. Sending it again is harmless."""
        attempt(lambda: self.broker.enqueue(message))

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        self.broker.close()


def live_message(message: StageOutputsMessage | RunStarted | RunFailed) -> Message[Any]:
    """Return the message of the queue that carries a message of the contract."""
    return Message(
        queue_name=queues.LIVE,
        actor_name=queues.WRITE_LIVE,
        args=(),
        kwargs={"message": to_wire(message)},
        options={},
    )


def _call(function: Callable[[], R]) -> R:
    try:
        return function()
    except redis.RedisError as error:
        raise QueueAway(f"Redis refuses the message: {error}") from error
