"""A worker whose one actor never ends; run as a process that is to be killed."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import dramatiq

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from broker_bench import QUEUE, Bench


def main(redis_url: str, kind: str) -> None:
    """Run until killed."""
    bench = Bench(redis_url, Path(tempfile.gettempdir()), stock=kind == "stock")
    broker = bench.broker(heartbeat_timeout_s=1.5)

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name="act")
    def act() -> None:
        print("running", flush=True)
        threading.Event().wait()

    bench.worker(broker)
    threading.Event().wait()


main(sys.argv[1], sys.argv[2])
