"""What stock Dramatiq does to messages when Redis goes away, or when they are delayed; and that ours doesn't.

Each test observes whether the defect shows. It must show on the stock broker, so that a new Dramatiq tells at once
which of ours is no longer needed.
"""

from __future__ import annotations

import threading

import dramatiq
from broker_bench import QUEUE, Bench, eventually, message


def test_a_retry_that_cannot_be_scheduled_is_lost(bench: Bench) -> None:
    """Defect 1."""
    broker = bench.broker(bench.proxy.url)
    attempts = []

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            bench.proxy.cut()
            raise ValueError("the first attempt fails while Redis is away")

    broker.enqueue(message())
    bench.worker(broker)
    assert eventually(lambda: attempts)
    # Long enough for the stock middleware to give up on its enqueue.
    threading.Event().wait(0.5)
    bench.proxy.restore()
    assert eventually(lambda: len(attempts) == 2 or bench.pending() == 0)

    defective = len(attempts) == 1
    assert defective is bench.stock


def test_a_lost_connection_fails_the_enqueue(bench: Bench) -> None:
    """Defect 2: a broker made from a URL has none of redis-py's retries."""
    broker = bench.broker(bench.proxy.url)
    broker.enqueue(message())
    bench.proxy.cut()
    back = threading.Timer(0.3, bench.proxy.restore)
    back.start()

    try:
        broker.enqueue(message())
        defective = False
    except Exception:
        defective = True
    back.join()

    assert defective is bench.stock


def test_an_acknowledgement_that_times_out_is_forgotten(bench: Bench) -> None:
    """Defect 2: a time-out is not taken for a lost connection."""
    broker = bench.broker(bench.proxy.url, timeout_s=0.3)
    ran = threading.Event()

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        bench.proxy.fall_silent()
        ran.set()

    broker.enqueue(message())
    bench.worker(broker, threads=1, prefetch=1)
    assert ran.wait(30)
    threading.Event().wait(1.0)
    bench.proxy.speak()

    defective = not eventually(lambda: bench.pending() == 0, bench.grace_s(2))
    assert defective is bench.stock


def test_a_delayed_message_strands_when_redis_was_away(bench: Bench) -> None:
    """Defect 3."""
    broker = bench.broker(bench.proxy.url)
    ran = threading.Event()

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        ran.set()

    bench.worker(broker)
    broker.enqueue(message(), delay=1_000)
    if bench.stock:
        # Its consumer takes it into memory.
        assert eventually(lambda: bench.redis.llen(bench.key(".DQ")) == 0)
    bench.proxy.cut()
    threading.Event().wait(0.3)
    bench.proxy.restore()

    defective = not ran.wait(bench.grace_s(3))
    assert defective is bench.stock


def test_long_delays_hold_back_short_ones(bench: Bench) -> None:
    """Defect 12: a worker keeps delayed messages in memory, and so many only."""
    broker = bench.broker()
    ran = threading.Event()

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        ran.set()

    for _ in range(2):
        broker.enqueue(message(), delay=60_000)
    bench.worker(broker, delay_prefetch=2)
    broker.enqueue(message(), delay=100)

    defective = not ran.wait(bench.grace_s(2))
    assert defective is bench.stock


def test_a_shutdown_counts_as_a_failed_attempt(bench: Bench) -> None:
    """Defect 11."""
    broker = bench.broker()
    running, stopped = threading.Event(), threading.Event()
    options = {"notify_shutdown": True} if bench.stock else {}

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act", **options)
    def act() -> None:
        running.set()
        eventually(stopped.is_set, 5)

    broker.enqueue(message())
    worker = bench.worker(broker, threads=1)
    assert running.wait(5)
    worker.stop(timeout=300)
    stored = [data for key in (".msgs", ".DQ.msgs") for data in bench.redis.hgetall(bench.key(key)).values()]
    stopped.set()
    for thread in worker.workers:
        thread.join(5)

    assert len(stored) == 1
    defective = b'"retries":1' in stored[0] or b'"attempts":1' in stored[0]
    assert defective is bench.stock
