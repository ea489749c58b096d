"""The publisher waits below the high-water marks, keeps to its rate, and survives an absent Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from producers.back_pressure import HighWater, room
from producers.packing import PackedOutput, Parcel, Sender, parcels
from producers.publisher import Publisher, StoppedError
from shared.broker.depths import Depth, Memory
from shared.documents import Sha256
from shared.errors import QueueAway
from shared.ids import RunId, Stage

MARKS = HighWater(messages=100, bytes=10_000, memory_share=0.6)
UNLIMITED = Memory(used_bytes=10, max_bytes=0, policy="noeviction")


def depth(pending: int, size_bytes: int = 0) -> Depth:
    return Depth(waiting=pending, in_flight=0, delayed=0, dead=0, bytes=size_bytes)


def some_parcels(count: int, size_bytes: int = 10) -> list[Parcel]:
    return [
        parcel
        for number in range(count)
        for parcel in parcels(
            Sender("batch", "host:1"),
            RunId(f"run-{number}"),
            [PackedOutput(Stage(1), Sha256("00"), size_bytes, {})],
            [Stage(1)],
            max_message_bytes=1 << 20,
        )
    ]


class Sending:
    """A publisher in a thread, and what it says was sent."""

    def __init__(self, queue: Any, *, marks: HighWater = MARKS, rate: float | None = None, patience_s: float = 60):
        self.stop = threading.Event()
        self.going: list[Parcel] = []
        self.sent: list[Parcel] = []
        self.error: BaseException | None = None
        self.publisher = Publisher(queue, marks, stop=self.stop, give_up_after_s=patience_s, rate_per_s=rate)

    def publish(self, found: list[Parcel]) -> None:
        self.publisher.publish(found, before=self.going.extend, after=self.sent.extend)
        self.publisher.finish()

    def start(self, found: list[Parcel]) -> threading.Thread:
        def run() -> None:
            try:
                self.publish(found)
            except (StoppedError, QueueAway) as error:
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()
        return self.thread


@pytest.fixture
def sending(fake_queue: Any) -> Iterator[Callable[..., Sending]]:
    started: list[Sending] = []

    def make(**options: Any) -> Sending:
        started.append(Sending(fake_queue, **options))
        return started[-1]

    yield make
    for one in started:
        one.stop.set()
        if hasattr(one, "thread"):
            one.thread.join(10)
            assert not one.thread.is_alive()


def test_everything_goes_in_pipelined_chunks_in_order(fake_queue: Any, sending: Callable[..., Sending]) -> None:
    found = some_parcels(250)
    one = sending(marks=HighWater(1_000, 1 << 20, 0.6))
    one.publish(found)
    assert [message.message_id for message in fake_queue.messages] == [p.message.message_id for p in found]
    assert fake_queue.calls == [100, 100, 50]
    assert one.sent == one.going == found


@pytest.mark.parametrize("mark", ["messages", "bytes", "memory"])
def test_publishing_waits_above_a_mark_with_its_reason_and_goes_on_below_it(
    fake_queue: Any, sending: Callable[..., Sending], until: Callable[..., Any], mark: str
) -> None:
    fake_queue.pending, fake_queue.bytes = 1, 1
    if mark == "messages":
        fake_queue.pending = 100
    elif mark == "bytes":
        fake_queue.bytes = 10_000
    else:
        fake_queue.memory_now = Memory(used_bytes=61, max_bytes=100, policy="noeviction")
    one = sending()
    one.start(some_parcels(1))
    waiting = until(lambda: one.publisher.waiting)
    assert f"RUNFERRY_HIGH_WATER_{mark.upper()}" in waiting.reason
    assert waiting.for_workers
    assert fake_queue.messages == []
    fake_queue.pending, fake_queue.bytes, fake_queue.memory_now = 0, 0, UNLIMITED
    one.thread.join(10)
    assert (len(one.sent), one.publisher.waiting) == (1, None)


def test_the_queue_never_holds_more_than_the_mark(fake_queue: Any, sending: Callable[..., Sending]) -> None:
    most = [0]
    enqueue = fake_queue.enqueue_many

    def drained(messages: Any) -> int:
        count: int = enqueue(messages)
        most[0] = max(most[0], fake_queue.pending)
        fake_queue.pending = max(0, fake_queue.pending - 7)
        return count

    fake_queue.enqueue_many = drained
    fake_queue.depths = lambda: (
        setattr(fake_queue, "pending", max(0, fake_queue.pending - 7)) or {"backfill": depth(fake_queue.pending)}
    )
    sending(marks=HighWater(10, 10_000, 0.6)).publish(some_parcels(60))
    assert most[0] <= 10


def test_one_message_above_the_byte_mark_goes_alone_into_an_empty_queue(
    fake_queue: Any, sending: Callable[..., Sending]
) -> None:
    one = sending()
    one.publish(some_parcels(1, size_bytes=50_000))
    assert len(one.sent) == 1


def test_a_chunk_that_failed_is_sent_again_with_the_same_ids(
    fake_queue: Any, sending: Callable[..., Sending]
) -> None:
    fake_queue.failures = [QueueAway("Redis is away")]
    found = some_parcels(3)
    one = sending()
    one.publish(found)
    assert [message.message_id for message in fake_queue.messages] == [p.message.message_id for p in found]
    assert one.sent == found


def test_reading_goes_on_while_redis_takes_in_a_chunk_and_only_its_answer_counts(
    fake_queue: Any, sending: Callable[..., Sending]
) -> None:
    one = sending(marks=HighWater(1_000, 1 << 20, 0.6))
    found = some_parcels(150)
    one.publisher.publish(found, before=one.going.extend, after=one.sent.extend)
    assert (one.going, len(fake_queue.messages), one.sent) == (found, 150, found[:100])
    one.publisher.finish()
    assert one.sent == found


def test_a_chunk_whose_answer_was_lost_is_sent_again_with_the_same_ids_before_the_next(
    fake_queue: Any, sending: Callable[..., Sending]
) -> None:
    fake_queue.lost_answers = [QueueAway("the answer was lost")]
    found = some_parcels(101)
    one = sending(marks=HighWater(1_000, 1 << 20, 0.6))
    one.publish(found)
    ids = [parcel.message.message_id for parcel in found]
    assert [message.message_id for message in fake_queue.messages] == [*ids[:100], *ids]
    assert one.sent == one.going == found


def test_a_chunk_that_failed_is_seen_to_though_nothing_more_is_published(
    fake_queue: Any, sending: Callable[..., Sending]
) -> None:
    fake_queue.lost_answers = [QueueAway("the answer was lost")]
    one = sending(marks=HighWater(1_000, 1 << 20, 0.6))
    found = some_parcels(3)
    one.publisher.publish(found, before=one.going.extend, after=one.sent.extend)
    assert one.sent == []
    one.publisher.tend()
    assert one.sent == found


def test_what_is_underway_is_not_waited_for_before_it_is_answered(
    fake_queue: Any, sending: Callable[..., Sending]
) -> None:
    answer: Future[int] = Future()
    fake_queue.begin_enqueue = lambda _: answer
    one = sending()
    found = some_parcels(1)
    one.publisher.publish(found, before=one.going.extend, after=one.sent.extend)
    one.publisher.tend()
    assert (one.going, one.sent) == (found, [])
    answer.set_result(1)
    one.publisher.tend()
    assert one.sent == found


def test_an_answer_that_never_comes_is_given_up_and_its_chunk_never_counts_as_sent(
    fake_queue: Any, sending: Callable[..., Sending]
) -> None:
    one = sending(patience_s=0.5)
    fake_queue.lost_answers = [QueueAway("the answer was lost")]
    one.publisher.publish(some_parcels(1), before=one.going.extend, after=one.sent.extend)
    fake_queue.failures = [QueueAway("nobody answers")] * 100
    with pytest.raises(QueueAway, match="nobody answers"):
        one.publisher.finish()
    assert (len(one.going), one.sent) == (1, [])


def test_a_redis_that_stays_away_is_given_up_with_its_reason_and_nothing_counts_as_sent(
    fake_queue: Any, sending: Callable[..., Sending]
) -> None:
    fake_queue.failures = [QueueAway("nobody answers")] * 100
    one = sending(patience_s=0.5)
    with pytest.raises(QueueAway, match="nobody answers"):
        one.publish(some_parcels(1))
    assert one.sent == []


def test_stopping_ends_a_wait_at_once(
    fake_queue: Any, sending: Callable[..., Sending], until: Callable[..., Any]
) -> None:
    fake_queue.pending = 100
    one = sending()
    one.start(some_parcels(1))
    until(lambda: one.publisher.waiting)
    one.stop.set()
    one.thread.join(10)
    assert isinstance(one.error, StoppedError)
    assert (one.sent, fake_queue.messages) == ([], [])


def test_a_chunk_that_was_not_begun_when_asked_to_stop_counts_as_never_gone(
    fake_queue: Any, sending: Callable[..., Sending]
) -> None:
    one = sending(marks=HighWater(1_000, 1 << 20, 0.6))
    enqueue = fake_queue.enqueue_many

    def stopped_meanwhile(messages: Any) -> int:
        one.stop.set()
        count: int = enqueue(messages)
        return count

    fake_queue.enqueue_many = stopped_meanwhile
    with pytest.raises(StoppedError):
        one.publish(some_parcels(250))
    assert len(one.going) == len(one.sent) == len(fake_queue.messages) == 100


def test_a_rate_is_kept(fake_queue: Any, sending: Callable[..., Sending]) -> None:
    start_s = time.monotonic()
    sending(rate=50.0, marks=HighWater(1_000, 1 << 20, 0.6)).publish(some_parcels(30))
    # The last chunk of ten needs no time after it.
    assert time.monotonic() - start_s >= 0.39
    assert max(fake_queue.calls) <= 10


def test_the_reason_is_the_mark_that_is_nearer() -> None:
    assert "MESSAGES" in room(depth(100, 100), UNLIMITED, MARKS).reason
    assert "BYTES" in room(depth(10, 10_000), UNLIMITED, MARKS).reason
    full = Memory(used_bytes=61, max_bytes=100, policy="noeviction")
    assert "61%" in room(depth(1, 1), full, MARKS).reason
    assert room(depth(40, 4_000), UNLIMITED, MARKS).holds(60, 6_000)
    assert not room(depth(40, 4_000), UNLIMITED, MARKS).holds(61, 1)
