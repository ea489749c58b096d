"""A consumer asks Redis again as soon as there may be something, and never sleeps through it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from broker_bench import eventually
from dramatiq.broker import MessageProxy

from shared.broker.bundle import Bundle, Bundling
from shared.broker.consumer import QueueConsumer
from shared.broker.encoder import ENCODER
from shared.broker.hands import Fetched
from shared.broker.holdings import Holding

#: As long as Dramatiq's own: whoever sleeps through a wake-up sleeps so long.
TIMEOUT_S = 1.0
#: Far more than a hand-over between threads takes, and far less than that.
SOON_S = 0.5


@dataclass
class Desk:
    """What a consumer sees of the broker, with a queue in memory: like Redis, it wakes where it was empty before."""

    stopping: bool = False
    arrived: threading.Event = field(default_factory=threading.Event)
    queue: deque[Fetched] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)
    fetches: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        self.wakeups = self.settler = self
        self.held = Holding(self.arrived)

    def is_paused(self, _queue: str) -> bool:
        return False

    def event(self, _queue: str) -> threading.Event:
        return self.arrived

    def holding(self, _queue: str) -> Holding:
        return self.held

    def owned(self, _queue: str) -> set[str]:
        return set()

    def unsent(self, _queue: str) -> set[str]:
        return set()

    def pause(self, duration_s: float) -> None:
        raise AssertionError("nothing is lost here")

    def settle(self, _operation: Any, _queue: str, ticket: Any) -> None:
        self.held.remove(ticket.redis_message_id)

    def fetch(self, _queue: str, count: int, _max_bytes: int) -> list[Fetched]:
        with self.lock:
            self.fetches += 1
            return [self.queue.popleft() for _ in range(min(count, len(self.queue)))]

    def send(self, messages: int = 1) -> None:
        with self.lock:
            was_empty = not self.queue
            for _ in range(messages):
                self.sent += 1
                fields = {"queue_name": "q", "actor_name": "write", "args": [], "kwargs": {}, "options": {}}
                data = ENCODER.encode({**fields, "message_id": str(self.sent), "message_timestamp": 1})
                self.queue.append(Fetched(str(self.sent), data, None))
            if was_empty:
                self.arrived.set()


class Consuming:
    """A consumer that is asked for messages by a thread, as Dramatiq's worker asks."""

    def __init__(self, prefetch: int, bundling: Bundling | None = None) -> None:
        self.desk = Desk()
        desk = cast(Any, self.desk)
        self.consumer = QueueConsumer(desk, desk, desk, "q", prefetch, round(TIMEOUT_S * 1000), bundling)
        self.handed: list[MessageProxy] = []
        self.asking = threading.Event()
        self.asking.set()
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        while self.asking.is_set():
            message = next(self.consumer)
            if message is not None:
                self.handed.append(message)

    def has_handed(self, count: int) -> bool:
        return eventually(lambda: len(self.handed) >= count, SOON_S)

    def is_asleep(self) -> bool:
        """Say whether it took the wake-up, so that it waits by now."""
        return eventually(lambda: not self.desk.arrived.is_set(), SOON_S)


@pytest.fixture
def start() -> Iterator[Callable[..., Consuming]]:
    started: list[Consuming] = []

    def begin(prefetch: int, bundling: Bundling | None = None) -> Consuming:
        started.append(Consuming(prefetch, bundling))
        return started[-1]

    yield begin
    for one in started:
        one.asking.clear()
        one.desk.stopping = True
        one.desk.arrived.set()
        one.thread.join()


BUNDLING = Bundling("write", "together", 20)


@pytest.mark.parametrize("prefetch", [1, 2, 8])
@pytest.mark.parametrize("bundling", [None, BUNDLING])
def test_what_comes_while_others_are_out_is_handed_out_as_soon_as_there_is_room(
    start: Callable[..., Consuming], prefetch: int, bundling: Bundling | None
) -> None:
    one = start(prefetch, bundling)
    for first in range(0, 10, 2):
        one.desk.send()
        assert one.has_handed(first + 1)
        one.desk.send()
        assert one.is_asleep()  # there was room, or there is none
        one.consumer.ack(one.handed[first])
        assert one.has_handed(first + 2)
        one.consumer.ack(one.handed[first + 1])


def test_what_comes_while_a_bundle_and_one_alone_are_out_is_handed_out_when_that_comes_back(
    start: Callable[..., Consuming],
) -> None:
    one = start(2, BUNDLING)
    one.desk.send()
    assert one.has_handed(1)
    one.desk.send(messages=2)
    assert one.has_handed(2)
    assert isinstance(one.handed[1], Bundle)
    one.desk.send()
    assert one.is_asleep()
    one.consumer.ack(one.handed[0])
    assert one.has_handed(3)


def test_a_queue_that_was_emptied_is_not_asked_again_before_something_comes(
    start: Callable[..., Consuming],
) -> None:
    one = start(8)
    one.desk.send()
    assert one.has_handed(1)
    asked = one.desk.fetches
    assert not eventually(lambda: one.desk.fetches > asked, SOON_S)
    one.desk.send()
    assert one.has_handed(2)


def test_a_consumer_that_sleeps_hears_at_once_that_it_is_to_stop(start: Callable[..., Consuming]) -> None:
    one = start(8)
    one.desk.send()
    assert one.has_handed(1)
    one.desk.stopping = True
    one.desk.arrived.set()
    assert one.is_asleep()
    one.asking.clear()
    one.thread.join(SOON_S)
    assert not one.thread.is_alive()
