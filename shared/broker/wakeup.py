"""Wake-ups: consumers sleep until something arrives, instead of asking again and again."""

from __future__ import annotations

import logging
import time
from threading import Event, Lock, Thread
from typing import Final
from uuid import uuid4

import redis

from shared.broker.scripts import as_text

_logger = logging.getLogger(__name__)

#: Between two looks at whether the connection is still good.
_LISTEN_S: Final = 5.0
_PAUSE_S: Final = 0.5


class Wakeups:
    """Listens on one connection for all queues of the process; without Redis the consumers poll."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._prefix = f"{namespace}:__wake__."
        self._own_channel = f"{self._prefix}{uuid4()}"
        self._events: dict[str, Event] = {}
        self._lock = Lock()
        self._stopped = Event()
        self._lost = False
        self._thread = Thread(target=self._run, name="runferry-wakeups", daemon=True)
        self._thread.start()

    def event(self, queue: str) -> Event:
        """Return the event that is set when `queue` has something."""
        with self._lock:
            return self._events.setdefault(queue, Event())

    def wake_all(self) -> None:
        """Wake every consumer of the process."""
        with self._lock:
            events = list(self._events.values())
        for event in events:
            event.set()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.wake_all()
        try:
            self._client.publish(self._own_channel, "")
        except redis.RedisError:
            _logger.debug("Can't wake the listener; it ends by itself", exc_info=True)
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                if not self._lost:
                    _logger.info("Lost the connection for wake-ups, polling meanwhile: %s", error)
                self._lost = True
                self._stopped.wait(_PAUSE_S)

    def _listen(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
            subscription.psubscribe(f"{_escaped(self._prefix)}*")
            # What came before the subscription was told to nobody.
            self.wake_all()
            heard_at = time.monotonic()
            while not self._stopped.is_set():
                message = subscription.get_message(timeout=_LISTEN_S)
                # The refusal of a subscription comes as the first answer.
                self._lost = False
                if message is not None:
                    heard_at = time.monotonic()
                    channel = message["channel"]
                    if isinstance(channel, bytes):
                        self.event(as_text(channel).removeprefix(self._prefix)).set()
                elif time.monotonic() - heard_at > 2 * _LISTEN_S:
                    # A connection that a firewall dropped silently would never be heard of again.
                    subscription.ping()


def _escaped(pattern: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in pattern)
