"""What stock Dramatiq does to messages that can't be handled, and that ours doesn't.

As in the other tests of defects, each must show on the stock broker.
"""

from __future__ import annotations

import threading

import dramatiq
from broker_bench import NAMESPACE, QUEUE, Bench, eventually, message
from dramatiq.broker import Broker, MessageProxy
from dramatiq.brokers.redis import MAINTENANCE_SCALE, RedisBroker
from dramatiq.middleware import Middleware


def test_undecodable_bytes_circulate_and_never_die(bench: Bench) -> None:
    """Defect 4."""
    broker = bench.broker()
    ran = threading.Event()

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        ran.set()

    for number, junk in enumerate([b"\xff\xfe", b"[]", b'{"queue_name": "live"}', b'{"args": [], "options": 1}']):
        bench.redis.hset(bench.key(".msgs"), f"junk-{number}", junk)
        bench.redis.rpush(bench.key(""), f"junk-{number}")
    broker.enqueue(message())
    bench.worker(broker, threads=1)

    defective = not (ran.wait(bench.grace_s(2)) and eventually(lambda: bench.dead() == 4, bench.grace_s(2)))
    assert defective is bench.stock
    if not bench.stock:
        assert eventually(lambda: bench.pending() == 0)
        assert b"\xff\xfe" in [dead.data for dead in broker.dead_messages(QUEUE)]


def test_a_message_without_options_kills_its_consumer(bench: Bench) -> None:
    """Defect 4: the envelope may be JSON and still no message."""
    broker = bench.broker()
    ran = threading.Event()

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        ran.set()

    bench.redis.hset(
        bench.key(".msgs"),
        "junk",
        b'{"queue_name":"live","actor_name":"act","args":[],"kwargs":{},"options":null,'
        b'"message_id":"1","message_timestamp":1}',
    )
    bench.redis.rpush(bench.key(""), "junk")
    bench.worker(broker, threads=1)

    defective = not eventually(lambda: bench.dead() == 1, bench.grace_s(1))
    assert defective is bench.stock


def test_dead_messages_have_no_reason(bench: Bench) -> None:
    """Defect 5."""
    broker = bench.broker(max_attempts=1)

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        raise ValueError("the very reason")

    broker.enqueue(message("act"))
    broker.enqueue(message("nobody"))
    bench.worker(broker)
    assert eventually(lambda: bench.dead() == 2)
    kept = b"".join(
        value
        for key in bench.redis.scan_iter(bench.key(".XQ*"))
        if bench.redis.type(key) == b"hash"
        for value in bench.redis.hvals(key)
    )

    defective = b"the very reason" not in kept or b"knows the actor" not in kept
    assert defective is bench.stock


def test_another_client_purges_dead_messages(bench: Bench) -> None:
    """Defect 6: the smallest time to live of any client counts."""
    broker = bench.broker(max_attempts=1)

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        raise ValueError

    broker.enqueue(message())
    bench.worker(broker)
    assert eventually(lambda: bench.dead() == 1)
    with bench.redis.client() as client:
        other = RedisBroker(
            client=client, namespace=NAMESPACE, maintenance_chance=MAINTENANCE_SCALE, dead_message_ttl=0
        )
        other.do_qsize(QUEUE)

    defective = bench.dead() == 0
    assert defective is bench.stock


def test_flushing_a_queue_drops_its_dead_messages(bench: Bench) -> None:
    """Defect 6."""
    broker = bench.broker(max_attempts=1)
    broker.enqueue(message("nobody"))
    bench.worker(broker)
    assert eventually(lambda: bench.dead() == 1)
    broker.flush_all()

    defective = bench.dead() == 0
    assert defective is bench.stock
    assert bench.pending() == 0


def test_depths_are_unknown(bench: Bench) -> None:
    """Defect 13."""
    broker = bench.broker()
    broker.enqueue(message("nobody"))
    bench.worker(broker).stop()
    broker.enqueue(message())
    broker.enqueue(message())
    broker.enqueue(message(), delay=60_000)
    bench.take(broker)

    defective = not hasattr(broker, "depths")
    assert defective is bench.stock
    if not bench.stock:
        depth = broker.depths()[QUEUE]
        assert (depth.waiting, depth.in_flight, depth.delayed, depth.dead) == (1, 1, 1, 1)
        assert depth.bytes == sum(
            len(data) for key in (".msgs", ".DQ.msgs") for data in bench.redis.hvals(bench.key(key))
        )


class _EvidenceByHand(Middleware):
    """The only way to keep evidence that stock Dramatiq leaves."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        redis_message_id = message.options["redis_message_id"]
        self._bench.redis.hset(self._bench.key(".msgs"), redis_message_id, b"the message with evidence")


def test_burying_what_another_worker_took_over_leaves_an_orphan(bench: Bench) -> None:
    """Defect 15."""
    first = bench.broker(middleware=(_EvidenceByHand(bench),) if bench.stock else ())
    second = bench.broker()
    first.enqueue(message())
    consumer, [taken] = bench.take(first)
    # What a takeover does.
    bench.redis.delete(f"{NAMESPACE}:__acks__.{first.broker_id}.{QUEUE}")
    bench.redis.rpush(bench.key(""), taken.options["redis_message_id"])
    other_consumer, [taken_over] = bench.take(second)
    other_consumer.ack(taken_over)
    assert eventually(lambda: bench.pending() == 0)

    taken.stuff_exception(ValueError("too late"))
    first.emit_before("nack", taken)
    consumer.nack(taken)
    if not bench.stock:
        first.end_consumption()

    defective = bench.pending() == 1
    assert defective is bench.stock
    assert bench.dead() == 0
