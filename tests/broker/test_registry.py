"""What the registry of workers promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from broker_bench import NAMESPACE, Bench, eventually

from shared.broker.registry import WorkerInfo, WorkerState

_INFO = WorkerInfo(
    worker_id="w",
    host="host-b",
    pid=7,
    version="1",
    root="/data",
    queues=("live", "backfill"),
    started_at=datetime(2025, 10, 1, tzinfo=UTC),
    state=WorkerState.PAUSED,
    reason="PostgreSQL is away",
    counters={"applied": 3},
)


def test_a_worker_is_read_as_it_announced_itself(our_bench: Bench) -> None:
    broker = our_bench.broker()
    broker.announce(_INFO)
    broker.announce(replace(_INFO, worker_id="x", host="host-a"))

    assert broker.live_workers() == [replace(_INFO, worker_id="x", host="host-a"), _INFO]


def test_a_silent_worker_disappears(our_bench: Bench) -> None:
    broker = our_bench.broker()
    broker.announce(_INFO)
    assert 0 < our_bench.redis.pttl(f"{NAMESPACE}:__worker__.w") <= 15_000
    our_bench.redis.delete(f"{NAMESPACE}:__worker__.w")

    assert broker.live_workers() == []
    assert not our_bench.redis.smembers(f"{NAMESPACE}:__workers__")


def test_a_consuming_worker_announces_itself_until_it_ends(our_bench: Bench) -> None:
    broker, tool = our_bench.broker(heartbeat_timeout_s=1), our_bench.broker()
    info = replace(_INFO, worker_id=broker.worker_id)
    broker.describe = lambda: info
    worker = our_bench.worker(broker)
    assert eventually(lambda: tool.live_workers() == [info])
    worker.stop()

    assert tool.live_workers() == []


def test_what_a_newer_version_adds_is_left_out() -> None:
    text = _INFO.to_json()[:-1] + b',"mood":"good"}'

    assert WorkerInfo.from_json(text) == _INFO
