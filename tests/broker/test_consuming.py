"""What the broker promises to workers."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import dramatiq
import pytest
from broker_bench import NAMESPACE, QUEUE, Bench, eventually, message
from dramatiq import Message
from dramatiq.common import current_millis

from shared.broker.client import LONGEST_PAUSE_S
from shared.broker.handback import HandBack
from shared.broker.options import ATTEMPTS
from shared.embedded.redis_server import RedisServer
from shared.errors import Malformed, RetryableError
from shared.reasons import Reason


def _actor(broker: Any, body: Any) -> None:
    dramatiq.actor(body, broker=broker, queue_name=QUEUE, actor_name="act")


def test_an_idle_worker_wakes_at_once(our_bench: Bench) -> None:
    broker = our_bench.broker()
    started: list[float] = []
    _actor(broker, lambda: started.append(time.monotonic()))
    our_bench.worker(broker)
    delays_s = []
    for number in range(1, 41):
        threading.Event().wait(0.02)  # idle again
        sent = time.monotonic()
        broker.enqueue(message())
        assert eventually(lambda number=number: len(started) == number)
        delays_s.append(started[-1] - sent)

    # A worker that polls would need 100 ms on average.
    assert sorted(delays_s)[20] < 0.025


def test_without_wake_ups_it_polls(our_bench: Bench) -> None:
    broker = our_bench.broker()
    ran = threading.Event()
    _actor(broker, ran.set)
    our_bench.worker(broker)
    our_bench.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    broker._dispatch("enqueue")(QUEUE, "id", message().copy(options={"redis_message_id": "id"}).encode())

    assert ran.wait(30)
    assert eventually(lambda: our_bench.pending() == 0)


def test_a_wake_up_for_a_queue_whose_name_is_no_text_is_for_nobody(our_bench: Bench) -> None:
    wakeups = our_bench.broker().begin_consumption().wakeups
    channel = f"{NAMESPACE}:__wake__.".encode()
    assert eventually(lambda: our_bench.redis.publish(channel + b"\xff", "") == 1)

    # The first may be woken with everybody, as listening begins; the second only by who still listens.
    for queue in ("first", "second"):
        woken = wakeups.event(queue)
        our_bench.redis.publish(channel + queue.encode(), "")
        assert woken.wait(30)


def test_a_message_is_handed_back_without_counting_an_attempt(our_bench: Bench) -> None:
    broker = our_bench.broker(max_attempts=1)
    starts: list[float] = []

    def act() -> None:
        starts.append(time.monotonic())
        if len(starts) == 1:
            raise HandBack
        if len(starts) == 2:
            raise HandBack(delay_ms=300)

    _actor(broker, act)
    broker.enqueue(message())
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0)
    assert len(starts) == 3
    assert starts[2] - starts[1] >= 0.3
    assert our_bench.dead() == 0


def test_a_broken_world_is_never_held_against_a_message(our_bench: Bench) -> None:
    broker = our_bench.broker(max_attempts=1)

    def act() -> None:
        raise RetryableError("PostgreSQL is away")

    _actor(broker, act)
    broker.enqueue(message())
    our_bench.worker(broker)

    assert eventually(lambda: broker.depths()[QUEUE].delayed == 1)
    assert our_bench.dead() == 0


def test_broken_data_dies_at_once_with_its_reason(our_bench: Bench) -> None:
    broker = our_bench.broker()

    def act() -> None:
        raise Malformed(Reason.RUN_ID, "no run has this id")

    _actor(broker, act)
    sent = broker.enqueue(message())
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.dead() == 1)
    [dead] = broker.dead_messages(QUEUE)
    evidence = dead.evidence
    assert evidence is not None
    assert (evidence.reason, evidence.sentence, evidence.attempts) == (Reason.RUN_ID, "no run has this id", 1)
    assert (evidence.message_id, evidence.queue) == (sent.message_id, QUEUE)
    assert "Malformed" in evidence.traceback
    assert abs((dead.died_at - broker.redis_now()).total_seconds()) < 60


def test_unknown_failures_are_counted_over_the_retries(our_bench: Bench) -> None:
    broker = our_bench.broker(max_attempts=3, retry_pause_ms=20)
    seen: list[int] = []

    class UnprintableError(Exception):
        def __str__(self) -> str:
            return "a lone \ud800 surrogate and much text " + "x" * 100_000

    def act() -> None:
        current = dramatiq.middleware.CurrentMessage.get_current_message()
        assert current is not None
        seen.append(current.options.get(ATTEMPTS, 0))
        raise UnprintableError

    broker.add_middleware(dramatiq.middleware.CurrentMessage())
    _actor(broker, act)
    broker.enqueue(message())
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.dead() == 1)
    assert seen == [0, 1, 2]
    [dead] = broker.dead_messages(QUEUE)
    assert dead.evidence is not None
    assert (dead.evidence.reason, dead.evidence.attempts) == (Reason.UNKNOWN_ERROR, 3)
    assert dead.evidence.first_failed_at < dead.evidence.last_failed_at
    assert our_bench.pending() == 0


def test_messages_stay_with_a_worker_whose_actors_are_blocked(our_bench: Bench) -> None:
    broker, other = our_bench.broker(heartbeat_timeout_s=1), our_bench.broker(heartbeat_timeout_s=1)
    go_on = threading.Event()
    runs: list[int] = []

    def act() -> None:
        runs.append(1)
        go_on.wait(30)

    _actor(broker, act)
    for _ in range(4):
        broker.enqueue(message())
    our_bench.worker(broker, threads=2, prefetch=4)
    assert eventually(lambda: len(broker.hands.owned(QUEUE)) == 4)
    other.consume(QUEUE)
    threading.Event().wait(2.5)  # longer than the heartbeat's time-out

    assert len(broker.hands.owned(QUEUE)) == 4
    go_on.set()
    assert eventually(lambda: our_bench.pending() == 0)
    assert len(runs) == 4


@pytest.mark.parametrize("asks", [False, True], ids=["", "whose description asks Redis and waits for it"])
def test_an_outage_of_redis_makes_no_worker_rob_another(our_bench: Bench, asks: bool) -> None:
    brokers = [our_bench.broker(our_bench.proxy.url, heartbeat_timeout_s=2) for _ in range(3)]
    for broker in brokers:
        if asks:
            broker.describe = partial(_asking, broker)
        broker.enqueue(message())
        our_bench.take(broker)

    judging_ms = brokers[0].heartbeat_timeout * 1.25 + LONGEST_PAUSE_S * 1000

    def beats_ms() -> list[float]:
        return [
            score for _, score in our_bench.redis.zrange(f"{NAMESPACE}:__heartbeats__", 0, -1, withscores=True)
        ]

    began_ms = max(beats_ms())
    # Then each of them may judge the others.
    assert eventually(lambda: min(beats_ms()) > began_ms + judging_ms)
    our_bench.proxy.cut()
    last_ms = max(beats_ms())
    assert eventually(lambda: brokers[0].heartbeat_timeout * 2 < our_bench.redis.time()[0] * 1000 - last_ms)
    our_bench.proxy.restore()
    back_ms = our_bench.redis.time()[0] * 1000
    assert eventually(lambda: min(beats_ms()) > back_ms + judging_ms)

    assert all(len(broker.hands.owned(QUEUE)) == 1 for broker in brokers)


def _asking(broker: Any) -> None:
    broker.client.time()  # tries again for seconds


def test_a_worker_that_ends_gives_back_what_it_holds_in_order(our_bench: Bench) -> None:
    broker = our_bench.broker()
    running, go_on = threading.Event(), threading.Event()

    def act(number: int) -> None:
        running.set()
        go_on.wait(30)

    _actor(broker, act)
    sent = [message("act", number) for number in range(8)]
    broker.enqueue_many(sent)
    worker = our_bench.worker(broker, threads=1, prefetch=5)
    assert running.wait(30)
    assert eventually(lambda: len(broker.hands.owned(QUEUE)) == 5)
    threading.Timer(0.2, go_on.set).start()
    worker.stop()

    assert not broker.hands.owned(QUEUE)
    assert not our_bench.redis.zscore(f"{NAMESPACE}:__heartbeats__", broker.worker_id)
    _, taken = our_bench.take(our_bench.broker(), 7)
    assert [delivery.message_id for delivery in taken] == [each.message_id for each in sent[1:]]
    # It left in peace: nobody is suspected.
    assert {delivery.deaths_alone for delivery in taken} == {None}


def test_messages_of_a_lost_answer_are_found_again(our_bench: Bench) -> None:
    broker = our_bench.broker(our_bench.proxy.url, timeout_s=0.3)
    consumer = broker.consume(QUEUE, prefetch=1, timeout=10)
    assert next(consumer) is None
    our_bench.broker().enqueue(message())
    our_bench.proxy.lose_answers()
    assert next(consumer) is None
    # It is in this worker's hands, and the worker does not know.
    assert our_bench.redis.scard(f"{NAMESPACE}:__acks__.{broker.worker_id}.{QUEUE}") == 1
    assert consumer.outstanding_message_count == 0
    our_bench.proxy.speak()

    assert eventually(lambda: next(consumer) is not None)


def test_held_bytes_are_bounded(our_bench: Bench) -> None:
    broker = our_bench.broker()
    broker.enqueue_many(message("act", "x" * 4_000_000) for _ in range(20))
    _, taken = our_bench.take(broker, 8)
    consumer = broker.consume(QUEUE, prefetch=20, timeout=50)

    assert len(taken) == 8
    assert next(consumer) is not None
    assert next(consumer) is None
    assert broker.depths()[QUEUE].waiting == 11


def test_a_paused_queue_is_not_fetched(our_bench: Bench) -> None:
    broker = our_bench.broker()
    ran = threading.Event()
    _actor(broker, ran.set)
    broker.pause(QUEUE)
    our_bench.worker(broker)
    broker.enqueue(message())

    assert not ran.wait(0.5)
    broker.resume(QUEUE)
    assert ran.wait(30)


def test_delays_of_a_stock_producer_are_kept(our_bench: Bench) -> None:
    broker = our_bench.broker()
    starts: list[float] = []
    _actor(broker, lambda: starts.append(time.monotonic()))
    our_bench.worker(broker)
    sent = time.monotonic()
    delayed = message().copy(
        queue_name=f"{QUEUE}.DQ", options={"redis_message_id": "id", "eta": current_millis() + 700}
    )
    broker._dispatch("enqueue")(f"{QUEUE}.DQ", "id", delayed.encode())

    assert eventually(lambda: our_bench.pending() == 0 and starts)
    assert starts[0] - sent >= 0.6


@pytest.mark.parametrize("queue_name", ["other", "live.DQ"])
def test_a_message_of_another_queue_is_taken_for_the_one_it_is_in(our_bench: Bench, queue_name: str) -> None:
    broker = our_bench.broker()
    ran = threading.Event()
    _actor(broker, ran.set)
    foreign = Message(queue_name, "act", (), {}, {"redis_message_id": "another id"})
    our_bench.redis.hset(our_bench.key(".msgs"), "id", foreign.encode())
    our_bench.redis.rpush(our_bench.key(""), "id")
    our_bench.worker(broker)

    assert ran.wait(30)
    assert eventually(lambda: our_bench.pending() == 0)


def test_a_killed_redis_loses_nothing_that_it_persisted(
    private_redis: RedisServer, short_folder: Any, request: pytest.FixtureRequest
) -> None:
    bench = Bench(private_redis.url, short_folder, stock=False)
    request.addfinalizer(bench.close)
    # Everything that was answered is on the disk.
    bench.redis.config_set("appendfsync", "always")
    broker = bench.broker()
    seen: set[int] = set()
    middle = threading.Event()

    def act(number: int) -> None:
        seen.add(number)
        if len(seen) == 150:
            middle.set()

    _actor(broker, act)
    broker.enqueue_many(message("act", number) for number in range(300))
    bench.worker(broker, threads=4)
    assert middle.wait(30)
    process = private_redis.process()
    assert process is not None
    process.kill()
    process.wait(30)
    private_redis.start({})

    assert eventually(lambda: bench.pending() == 0)
    assert seen == set(range(300))
    assert eventually(lambda: not broker.hands.owned(QUEUE))
