"""Whatever lies in a queue between good messages ends as a dead message, and takes no neighbour with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import dramatiq
import pytest
from broker_bench import QUEUE, Bench, eventually, message

from shared.broker.bundle import Bundling
from shared.broker.delivery import Delivery

_NAN, _INFINITE = float("nan"), float("inf")

OPTIONS: list[dict[str, Any]] = [
    {"attempts": "many"},
    {"attempts": [1]},
    {"attempts": _NAN},
    {"attempts": _INFINITE},
    {"attempts": 10**30},
    {"attempts": -(10**30)},
    {"first_failed_at": 5},
    {"first_failed_at": "\ud800"},
    {"first_failed_at": "\ud800", "attempts": 3},
    {"eta": _NAN},
    {"eta": _INFINITE},
    {"eta": -_INFINITE},
    {"eta": 10**400},
    {"eta": "soon"},
    {"throws": "x"},
    {"throws": ["x"]},
    {"retries": "x", "max_retries": [], "time_limit": {}, "pipe_target": "t", "redis_message_id": 5},
]
FIELDS: list[dict[str, Any]] = [
    {"options": []},
    {"options": None},
    {"kwargs": []},
    {"kwargs": {"message": {"run_id": "a", "outputs": [{"stage": 1, "content_sha256": "\ud800"}]}}},
    {"kwargs": {"message": {"run_id": "\ud800", "outputs": [{"stage": 1, "content_sha256": "x y"}]}}},
    {"args": None},
    {"args": {"a": 1}},
    {"args": [-1, -1]},
    {"actor_name": None},
    {"actor_name": "\ud800"},
    {"actor_name": "act_together"},
    {"message_id": None},
    {"message_id": "\ud800"},
    {"message_id": "\ud800", "actor_name": "nobody"},
    {"\ud800": 1},
]
BYTES = [b"", b"\xff", b"null", b"[]", b"NaN", b"[" * 100_000]
#: Deeper than orjson writes, than the standard library writes, and than either reads.
DEPTHS = [300, 1_000, 5_000]


def _hostile() -> Iterator[Any]:
    for options in OPTIONS:
        yield pytest.param(_bytes_of(options=options), id=f"options {ascii(options)[:40]}")
    for fields in FIELDS:
        yield pytest.param(_bytes_of(**fields), id=f"fields {ascii(fields)[:60]}")
    for depth in DEPTHS:
        yield pytest.param(_nested(depth, {}), id=f"depth {depth}")
    yield pytest.param(_nested(1_000, {"eta": 2**50}), id="depth 1000, to be delayed")
    for data in BYTES:
        yield pytest.param(data, id=f"bytes {data[:8]!r}")


def _bytes_of(**changed: Any) -> bytes:
    return json.dumps({**message("act", -1).asdict(), **changed}).encode()


def _nested(depth: int, options: dict[str, Any]) -> bytes:
    data = _bytes_of(kwargs={"message": "HERE"}, options=options)
    return data.replace(b'"HERE"', b"[" * depth + b"]" * depth)


def _bundling(bench: Bench, done: list[int]) -> Any:
    """Return a broker whose messages for the actor `act` go together; it refuses every number below 0."""
    broker = bench.broker(retry_pause_ms=20)

    def act(number: int) -> None:
        if number < 0:
            raise ValueError("never")
        done.append(number)

    def act_together(*, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.args[0] >= 0:
                done.append(delivery.args[0])
                delivery.finished = True

    dramatiq.actor(act, broker=broker, queue_name=QUEUE, actor_name="act")
    dramatiq.actor(act_together, broker=broker, queue_name=QUEUE, actor_name="act_together")
    broker.bundled[QUEUE] = Bundling("act", "act_together", most=16)
    return broker


def _put(bench: Bench, redis_message_id: bytes, data: bytes) -> None:
    bench.redis.hset(bench.key(".msgs"), redis_message_id, data)
    bench.redis.rpush(bench.key(""), redis_message_id)


@pytest.mark.parametrize("data", list(_hostile()))
def test_it_dies_and_its_neighbours_do_not_notice(our_bench: Bench, data: bytes) -> None:
    done: list[int] = []
    broker = _bundling(our_bench, done)
    broker.enqueue_many(message("act", number) for number in range(3))
    _put(our_bench, b"hostile", data)
    broker.enqueue_many(message("act", number) for number in range(3, 6))
    worker = our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0 and our_bench.dead() == 1)
    assert sorted(done) == list(range(6))
    [dead] = broker.dead_messages(QUEUE)
    assert dead.evidence is not None
    assert all(thread.is_alive() for thread in worker.workers)
    # Nothing is held any more, neither here nor in Redis: the next bundle has room.
    assert eventually(lambda: not any(broker.held_messages().values()))
    broker.enqueue_many(message("act", number) for number in range(6, 26))
    assert eventually(lambda: our_bench.pending() == 0)
    assert sorted(done) == list(range(26))


def test_an_id_that_is_no_text_is_settled_like_any_other(our_bench: Bench) -> None:
    done: list[int] = []
    broker = _bundling(our_bench, done)
    _put(our_bench, b"\xff\xfe", json.dumps(message("act", 0).asdict()).encode())
    _put(our_bench, b"\xff\xfd", _bytes_of())
    broker.enqueue_many(message("act", number) for number in range(1, 4))
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0 and our_bench.dead() == 1)
    assert sorted(done) == list(range(4))
    assert broker.forget_dead(QUEUE, broker.dead_messages(QUEUE)) == 1


def test_an_id_that_waits_twice_is_done_once_or_twice_and_takes_no_room_for_good(our_bench: Bench) -> None:
    done: list[int] = []
    broker = _bundling(our_bench, done)
    broker.enqueue_many(message("act", number) for number in range(3))
    for redis_message_id in our_bench.redis.lrange(our_bench.key(""), 0, -1):
        our_bench.redis.rpush(our_bench.key(""), redis_message_id)
    our_bench.worker(broker)

    assert eventually(lambda: our_bench.pending() == 0)
    assert set(done) == {0, 1, 2}
    holding = broker.begin_consumption().holding(QUEUE)
    assert eventually(lambda: (len(holding), holding.bytes) == (0, 0))
