"""Sends messages, and hears when each is committed: by the notification that a receipt waits for.

What is measured so is what another process sees, the way of the notification included; never less than the commit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg

from benchmarks.performance.record import Latency
from benchmarks.stores import BenchmarkFailed, BenchmarkStores
from producers.live_queue import live_message
from shared import committed
from shared.broker.broker import make_broker
from shared.contract import Origin, OutputBody, StageOutputsMessage
from shared.database_url import DatabaseAddress
from shared.documents import Document
from shared.ids import Stage
from shared.settings import Settings

_HEARD_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A message on its way: when its sending began, and when its commit was heard of, on the monotonic clock."""

    message_id: str
    sent_s: float
    heard: asyncio.Future[float]


class Probe:
    """Sends live runs of five outputs, with the documents of a run folder and run ids of their own."""

    def __init__(self, stores: BenchmarkStores, run_dir: Path) -> None:
        self._broker = make_broker(stores.redis_url, Settings.from_environment())
        self._outputs = tuple(
            OutputBody.of(stage, _documents(run_dir / f"stage{stage.value}"), datetime.now(UTC)) for stage in Stage
        )
        self._heard: dict[str, asyncio.Future[float]] = {}

    def on_commit(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        """Note the time for every message that a notification names."""
        now_s = time.monotonic()
        named = committed.message_ids_in(payload)
        for message_id in self._heard.keys() if named is None else named:
            future = self._heard.get(message_id)
            if future is not None and not future.done():
                future.set_result(now_s)

    async def send(self) -> Sent:
        """Send one run now."""
        now = datetime.now(UTC)
        outputs = tuple(output.model_copy(update={"produced_at": now}) for output in self._outputs)
        message = live_message(
            StageOutputsMessage(
                run_id=f"live-{uuid4()}",
                publisher="benchmark",
                published_at=now,
                origin=Origin.PIPELINE,
                batch_id="benchmark",
                wants_receipt=True,
                outputs=outputs,
            )
        )
        heard = asyncio.get_running_loop().create_future()
        self._heard[message.message_id] = heard
        return Sent(message.message_id, await asyncio.to_thread(self._enqueue, message), heard)

    def close(self) -> None:
        """Close the connections to Redis."""
        self._broker.close()

    def _enqueue(self, message: Any) -> float:
        started_s = time.monotonic()
        self._broker.enqueue(message)
        return started_s


@asynccontextmanager
async def listening(stores: BenchmarkStores, run_dir: Path) -> AsyncIterator[Probe]:
    """Yield a probe that hears of commits."""
    probe = Probe(stores, run_dir)
    connection = await asyncpg.connect(**DatabaseAddress.parse(stores.database_url).connect_arguments())
    try:
        await connection.add_listener(committed.CHANNEL, probe.on_commit)
        yield probe
    finally:
        await connection.close()
        probe.close()


async def send_one_by_one(probe: Probe, count: int, pause_s: Callable[[], float]) -> list[Sent]:
    """Send `count` messages, each when the one before is committed and a pause is over."""
    sent = []
    for _ in range(count):
        sent.append(await probe.send())
        await heard_ms(sent[-1:])
        await asyncio.sleep(pause_s())
    return sent


async def send_steadily(probe: Probe, per_s: float, goes_on: Callable[[int], bool]) -> list[Sent]:
    """Send at a rate, whatever becomes of what was sent, as long as `goes_on` says of the number sent so far."""
    sent: list[Sent] = []
    sending: list[asyncio.Task[Sent]] = []
    started_s = time.monotonic()
    while goes_on(len(sending)):
        await asyncio.sleep(max(0.0, started_s + len(sending) / per_s - time.monotonic()))
        sending.append(asyncio.create_task(probe.send()))
    sent.extend(await asyncio.gather(*sending))
    return sent


async def heard_ms(sent: list[Sent]) -> list[float]:
    """Return how long each message took from its sending to its commit; raises BenchmarkFailed where one stays away."""
    try:
        async with asyncio.timeout(_HEARD_TIMEOUT_S):
            return [(await one.heard - one.sent_s) * 1000 for one in sent]
    except TimeoutError:
        missing = sum(not one.heard.done() for one in sent)
        raise BenchmarkFailed(f"{missing} of {len(sent)} live messages were never committed.") from None


def latency(name: str, found_ms: list[float]) -> Latency:
    """Return the percentiles of some latencies."""
    ordered = sorted(found_ms)
    last = len(ordered) - 1
    return Latency(
        name, len(ordered), tuple(round(ordered[round(last * percent / 100)], 3) for percent in range(101))
    )


def _documents(folder: Path) -> tuple[Document, ...]:
    return tuple(Document(path.name, path.read_bytes()) for path in sorted(folder.iterdir()))
