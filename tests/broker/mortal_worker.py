"""A worker that one of its actors kills; run as a process."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import dramatiq

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from broker_bench import QUEUE, Bench

from shared.broker.bundle import Bundling
from shared.broker.delivery import Delivery

_HEARTBEAT_TIMEOUT_S = 0.5


def main(redis_url: str) -> None:
    """Run until killed."""
    bench = Bench(redis_url, Path(tempfile.gettempdir()), stock=False)
    broker = bench.broker(heartbeat_timeout_s=_HEARTBEAT_TIMEOUT_S)

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="kill")
    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="work")
    def work(number: int) -> None:
        bench.redis.sadd("done", number)

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="bundled")
    def bundled(number: int) -> None:
        if number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        bench.redis.sadd("done", number)

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="together")
    def together(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            bundled.fn(*delivery.args)
            delivery.finished = True

    broker.bundled[QUEUE] = Bundling("bundled", "together", most=20)

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="slow")
    def slow(number: int) -> None:
        threading.Event().wait(0.02)
        bench.redis.sadd("done", number)

    bench.worker(broker, threads=8, prefetch=32)
    threading.Event().wait()


main(sys.argv[1])
