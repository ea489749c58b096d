"""Does a run cost the same when there are many? Growing trees, and a queue of very many messages."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import redis
from dramatiq import Message

from benchmarks.performance import carrying
from benchmarks.performance.names import SIZES, backlog_name, behind_name, filling_name, size_name
from benchmarks.performance.probe import heard_ms, latency, listening, send_steadily
from benchmarks.performance.record import Carried
from benchmarks.performance.steps import Bench, Figure, Step
from benchmarks.performance.watching import watching
from benchmarks.processor_time import tree_cpu_s
from benchmarks.stores import BenchmarkFailed, BenchmarkStores
from benchmarks.tree import generate, run_id
from benchmarks.worker_processes import running_workers
from producers.packing import Sender, pack, parcels
from shared import queues
from shared.broker.broker import make_broker
from shared.documents import Document
from shared.ids import RunId, Stage
from shared.run_folders.scanned import ScannedOutput
from shared.settings import Settings

_BYTES_PER_RUN: Final = 90_000  # files take whole blocks, and the rows are stored too
_WINDOW_S: Final = 20.0
_LIVE_PER_S: Final = 20.0
#: The queue that the large one is compared with.
_SHALLOW: Final = 10_000
_READY_TIMEOUT_S: Final = 60.0


def scale_steps(seed: int) -> Mapping[str, Step]:
    """Return the steps that carry growing trees, each made for its step and removed after it."""
    return {size_name(runs): partial(_scale, runs, seed) for runs in SIZES}


def backlog_steps(messages: int) -> Mapping[str, Step]:
    """Return the steps that drain a shallow queue and one of so many small messages."""
    depths = sorted({min(_SHALLOW, messages), messages})
    return {backlog_name(depth): partial(_backlog, depth) for depth in depths}


def _scale(runs: int, seed: int, bench: Bench) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="runferry-tree-") as folder:
        if (free := shutil.disk_usage(folder).free) < runs * _BYTES_PER_RUN:
            raise BenchmarkFailed(
                f"{runs:,} runs need {runs * _BYTES_PER_RUN / 1e9:.0f} GB, {free / 1e9:.0f} are free."
            )
        root = Path(folder) / "runs"
        generate(root, runs, seed)
        yield carrying.scaled(bench.stores, root, runs, size_name(runs))


def _backlog(depth: int, bench: Bench) -> Iterator[Figure]:
    """Fill the queue, drain some of it for a while, and send live runs meanwhile."""
    stores = bench.stores
    stores.renew()
    with redis.Redis.from_url(stores.redis_url) as client, _without_memory_limit(client):
        yield _filled(stores, depth)
        yield from _partly_drained(bench, client, depth)


@contextmanager
def _without_memory_limit(client: redis.Redis) -> Iterator[None]:
    """Let Redis hold what the marks would never let into it; it is empty afterwards."""
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 0)
    try:
        yield
    finally:
        client.flushall(asynchronous=True)  # a million messages take longer than a client waits
        client.config_set("maxmemory", limit)


def _partly_drained(bench: Bench, client: redis.Redis, depth: int) -> Iterator[Figure]:
    stores, key = bench.stores, carrying.messages_key(queues.BACKFILL)
    with running_workers(stores) as workers, watching(stores.redis_url, workers.pid) as watch:
        _await_first(client, key, depth)
        left, started_s = client.hlen(key), time.perf_counter()
        servers, workers_s = stores.server_times(), tree_cpu_s(workers.pid)
        live_ms = asyncio.run(_live(stores, bench.root, client, key))
        handled, seconds, after = left - client.hlen(key), time.perf_counter() - started_s, stores.server_times()
        cpu_s = {
            "workers": tree_cpu_s(workers.pid) - workers_s,
            "postgres": after.postgres_s - servers.postgres_s,
            "redis": after.redis_s - servers.redis_s,
        }
        # Of a handful nothing is left to be looked at.
        yield Carried(backlog_name(depth), handled or depth, seconds, cpu_s, watch.snapshot())
        yield latency(behind_name(depth), live_ms)


def _filled(stores: BenchmarkStores, depth: int) -> Carried:
    broker = make_broker(stores.redis_url, Settings.from_environment())
    before, started_s, used_s = stores.server_times(), time.perf_counter(), time.process_time()
    sent = broker.enqueue_many(_messages(depth))
    seconds, after = time.perf_counter() - started_s, stores.server_times()
    broker.close()
    if sent != depth:
        raise BenchmarkFailed(f"{sent} messages were sent of {depth}.")
    cpu_s = {"client": time.process_time() - used_s, "redis": after.redis_s - before.redis_s}
    return Carried(filling_name(depth), depth, seconds, cpu_s)


def _messages(depth: int) -> Iterator[Message[Any]]:
    """Yield small messages, an output of some hundred bytes each: the queue is what is measured."""
    sender = Sender("benchmark", "benchmark")
    produced_at = datetime(2025, 10, 1, tzinfo=UTC)
    for number in range(depth):
        document = Document("trends.json", b'{"trends": [{"name": "number %d"}]}' % number)
        packed = pack(ScannedOutput(Stage.TRENDS, (document,), produced_at))
        for parcel in parcels(
            sender, RunId(run_id(number)), [packed], [Stage.TRENDS], max_message_bytes=1_000_000
        ):
            yield parcel.message


def _await_first(client: redis.Redis, key: str, depth: int) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while client.hlen(key) == depth:
        if time.monotonic() > deadline:
            raise BenchmarkFailed("The workers did not begin to drain the queue.")
        time.sleep(0.005)


async def _live(stores: BenchmarkStores, root: Path, client: redis.Redis, key: str) -> list[float]:
    until_s = time.monotonic() + _WINDOW_S
    async with listening(stores, root / run_id(0)) as probe:
        sent = await send_steadily(
            probe, _LIVE_PER_S, lambda sent: not sent or (time.monotonic() < until_s and client.hlen(key) > 0)
        )
        return await heard_ms(sent)
