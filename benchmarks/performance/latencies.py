"""How soon: from the sending of a message to the start of its actor, and to its committed rows."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import asyncpg
import psutil
import redis

from benchmarks import actor_starts, stock_dramatiq
from benchmarks.contenders import backfilled
from benchmarks.measurement import Measurement
from benchmarks.performance.carrying import messages_key
from benchmarks.performance.probe import Sent, heard_ms, latency, listening, send_one_by_one, send_steadily
from benchmarks.performance.record import Carried, Idle, Latency
from benchmarks.performance.watching import watching
from benchmarks.processor_time import tree_cpu_s
from benchmarks.stores import BenchmarkFailed, BenchmarkStores
from benchmarks.tree import run_id
from benchmarks.worker_processes import running_stock_workers, running_workers
from shared import queues
from shared.database_url import DatabaseAddress

STEADY_PER_S: Final = 50.0
BEHIND_PER_S: Final = 20.0
_TIMED_WORKERS: Final = (sys.executable, "-m", "benchmarks.performance.timed_workers")
_WARM_UP: Final = 3
_IDLE_PAUSE_S: Final = (0.01, 0.05)
_STOCK_POLL_S: Final = 0.0005
_STOCK_TIMEOUT_S: Final = 60.0
_BACKLOG_POLL_S: Final = 0.01


def runferry(
    stores: BenchmarkStores, root: Path, messages: int, idle_s: float, steady_s: float
) -> Iterator[Latency | Idle]:
    """Leave workers idle; send to idle ones; send at a steady rate."""
    stores.renew()
    run_dir = root / run_id(0)
    with tempfile.TemporaryDirectory(prefix="runferry-starts-") as folder:
        environment = {actor_starts.FOLDER_VARIABLE: folder}
        with running_workers(stores, environment=environment, command=_TIMED_WORKERS) as workers:
            sent, found_ms = asyncio.run(_idle(stores, run_dir, messages))
            starts = actor_starts.read(Path(folder))
            yield latency("idle pick-up", [(starts[one.message_id] - one.sent_s) * 1000 for one in sent])
            yield latency("idle commit", found_ms)
            yield latency("steady commit", asyncio.run(_steady(stores, run_dir, int(STEADY_PER_S * steady_s))))
            yield _idle_share(workers.pid, idle_s)


def stock(stores: BenchmarkStores, root: Path, messages: int) -> Iterator[Latency]:
    """Send to idle workers of stock Dramatiq; its commits are seen by looking for the row."""
    stores.renew()
    documents = stock_dramatiq.read_documents(root / run_id(0))
    with tempfile.TemporaryDirectory(prefix="runferry-starts-") as folder:
        environment = {actor_starts.FOLDER_VARIABLE: folder}
        with running_stock_workers(stores, environment):
            sent = asyncio.run(_stock_idle(stores, documents, messages))
            starts = actor_starts.read(Path(folder))
    yield latency("stock idle pick-up", [(starts[name] - sent_s) * 1000 for name, sent_s, _ in sent])
    yield latency("stock idle commit", [(seen_s - sent_s) * 1000 for _, sent_s, seen_s in sent])


def behind_backfill(stores: BenchmarkStores, root: Path, runs: int) -> Iterator[Latency | Carried]:
    """Send live runs while a backfill that is as large as its marks allow waits in front of the same workers."""
    stores.renew()
    with (
        running_workers(stores) as workers,
        watching(stores.redis_url, workers.pid) as watch,
        ThreadPoolExecutor(1) as aside,
        redis.Redis.from_url(stores.redis_url) as client,
    ):
        carrying = aside.submit(
            backfilled,
            stores,
            root,
            runs,
            0,
            workers.pid,
            beside_others=True,  # the live runs are in the rows too
            started_as=watch.producer_started,
        )
        try:
            while not carrying.done() and not client.hlen(messages_key(queues.BACKFILL)):
                time.sleep(_BACKLOG_POLL_S)
            sent_ms = asyncio.run(_behind(stores, root / run_id(0), carrying, client))
        except BaseException:
            if not carrying.done():
                watch.kill_producer()
            raise
        carried = carrying.result()
        yield latency("live behind a backfill", sent_ms)
        yield Carried("large", runs, carried.seconds, carried.cpu_s, watch.snapshot())


async def _idle(stores: BenchmarkStores, run_dir: Path, messages: int) -> tuple[list[Sent], list[float]]:
    async with listening(stores, run_dir) as probe:
        sent = await send_one_by_one(probe, messages + _WARM_UP, lambda: random.uniform(*_IDLE_PAUSE_S))
        return sent[_WARM_UP:], await heard_ms(sent[_WARM_UP:])


async def _steady(stores: BenchmarkStores, run_dir: Path, messages: int) -> list[float]:
    async with listening(stores, run_dir) as probe:
        return await heard_ms(await send_steadily(probe, STEADY_PER_S, lambda sent: sent < messages))


async def _behind(
    stores: BenchmarkStores, run_dir: Path, carrying: Future[Measurement], client: redis.Redis
) -> list[float]:
    messages = messages_key(queues.BACKFILL)
    async with listening(stores, run_dir) as probe:
        sent = await send_steadily(
            probe, BEHIND_PER_S, lambda sent: not sent or (not carrying.done() and client.hlen(messages) > 0)
        )
        return await heard_ms(sent)


async def _stock_idle(
    stores: BenchmarkStores, documents: dict[str, str], messages: int
) -> list[tuple[str, float, float]]:
    """Return per message its id, when its sending began, and when its row was there."""
    broker = stock_dramatiq.RedisBroker(url=stores.redis_url, namespace=stock_dramatiq.NAMESPACE)
    broker.declare_queue(stock_dramatiq.QUEUE)
    connection = await asyncpg.connect(**DatabaseAddress.parse(stores.database_url).connect_arguments())
    found = []
    try:
        for number in range(messages + _WARM_UP):
            name = f"live-{number}"
            message = stock_dramatiq.migrate_run.message(name, documents)
            sent_s = time.monotonic()
            broker.enqueue(message)
            deadline = sent_s + _STOCK_TIMEOUT_S
            while not await connection.fetchval('SELECT 1 FROM "Run" WHERE id = $1', name):
                if time.monotonic() > deadline:
                    raise BenchmarkFailed("A message of stock Dramatiq was never committed.")
                await asyncio.sleep(_STOCK_POLL_S)
            found.append((message.message_id, sent_s, time.monotonic()))
            # Long enough that its consumers sleep again.
            await asyncio.sleep(random.uniform(0.05, 0.3))
    finally:
        await connection.close()
        broker.close()
    return found[_WARM_UP:]


def _idle_share(supervisor_pid: int, seconds: float) -> Idle:
    pids = [child.pid for child in psutil.Process(supervisor_pid).children()]
    before, started_s = {pid: tree_cpu_s(pid) for pid in pids}, time.monotonic()
    time.sleep(seconds)
    took_s = time.monotonic() - started_s
    shares = [(tree_cpu_s(pid) - before[pid]) / took_s for pid in pids]
    return Idle(took_s, sum(shares) / len(shares), max(shares))
