"""One worker process: the composition root, where broker, writer and actors are wired.

Run as `python -m workers.process`; settings come from the environment, which `worker` fills.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Final

import dramatiq
import redis
import structlog
from dramatiq.middleware import CurrentMessage

from shared import __version__, queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.broker.clock import ahead_of_redis
from shared.broker.holds import Holds
from shared.broker.registry import WorkerInfo, WorkerState
from shared.collecting import collect_rarely
from shared.command import say
from shared.errors import RunferryError
from shared.log import configure, report_uncaught
from shared.metrics.endpoint import endpoint
from shared.phase.follower import PhaseFollower
from shared.settings import Settings
from shared.stores import resolve_stores
from workers.actors import declare_actors
from workers.alike import AlikeFailures
from workers.carrier import ALIKE_LIMIT, Carrier
from workers.log_context import message_ids
from workers.maintenance import INTERVAL, maintain
from workers.metrics import WorkerCollector
from workers.pause import Pause
from workers.reconciling.reconciler import Reconciler
from workers.writer import Writer

#: Fetched ahead per thread: enough that no thread waits for Redis, few enough that a kill hands few back.
_PREFETCH_PER_THREAD: Final = 2
#: Each is work for some tenths of a second: what a process holds, the others can't do.
_SLICES_PREFETCHED: Final = 3
_TICK_S: Final = 1.0

log = structlog.get_logger("workers.process")  # it runs as __main__


def run_process(
    settings: Settings, queue_names: Sequence[str], *, place: int = 1, parent_pid: int | None = None
) -> None:
    """Run one worker process until it is told to end; with `parent_pid`, also when that parent is gone.

    `place` is its number among the processes of its supervisor, from 1 on: its metrics' port depends on it.
    """
    stores = resolve_stores(settings)
    pause = Pause()
    identity = f"{socket.gethostname()}:{os.getpid()}"
    writer = Writer(stores.database, settings, pause, identity)
    broker = make_broker(stores.redis_url, settings, middleware=[CurrentMessage()])
    alike = AlikeFailures(ALIKE_LIMIT, pause)
    carrier = Carrier(writer, settings, alike, lambda: datetime.now(UTC))
    metrics = endpoint(settings, WorkerCollector(writer.stats, pause, broker.held_messages), place)
    reconciler = Reconciler(stores.database, broker, settings, identity)
    declare_actors(broker, carrier, reconciler)
    started_at = datetime.now(UTC)

    ahead: timedelta | None = None

    def describe() -> WorkerInfo:
        # It is asked by the heartbeat, which must not wait for anybody: so nothing is looked up here.
        state = (
            WorkerState.DRAINING if pause.stopping else WorkerState.PAUSED if pause.reason else WorkerState.RUNNING
        )
        return WorkerInfo(
            worker_id=broker.worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            root=str(settings.root.resolve()),
            queues=tuple(queue_names),
            started_at=started_at,
            state=state,
            reason=pause.reason,
            counters=writer.counters(),
            clock_ahead_ms=None if ahead is None else ahead // timedelta(milliseconds=1),
        )

    broker.describe = describe
    writer.every(INTERVAL, lambda connection: maintain(connection, broker, writer.transactor))
    worker = dramatiq.Worker(broker, queues=set(queue_names), worker_threads=settings.worker_threads)
    worker.queue_prefetch = settings.worker_threads * _PREFETCH_PER_THREAD
    # A backfill may fill every thread that it can have, each waiting for a commit: some are kept free for live outputs.
    broker.most_prefetched[queues.BACKFILL] = settings.worker_threads - _kept_free(settings.worker_threads)
    broker.most_prefetched[queues.RECONCILE] = _SLICES_PREFETCHED
    ending = _end_on_signals()
    collect_rarely()
    holds = Holds(broker.client, settings.namespace)
    # A queue that is held is held from the first message on: a process that is replaced takes none of it.
    _follow_holds(broker, holds, queue_names)
    writer.start()
    reconciler.start()
    worker.start()
    log.info("worker started", queues=list(queue_names), threads=settings.worker_threads, stores=str(stores))
    # Workers reach both stores: they put the phase, and its hold of the live queue, back into a Redis that forgot it.
    follower = PhaseFollower(settings, role="worker", redis_url=stores.redis_url, database=stores.database)
    follower.start()
    while not ending.wait(_TICK_S):
        # Where Redis is away, asking once is long enough: a process that is told to end must not wait twice.
        ahead = ahead_of_redis(broker.client) if _follow_holds(broker, holds, queue_names) else None
        if metrics is not None:
            metrics.tend()
        if parent_pid is not None and os.getppid() != parent_pid:
            log.warning("the supervisor is gone, ending")
            break
    log.info("worker draining", at_most_s=settings.drain_timeout.total_seconds())
    # From here on nothing waits for a broken world: what can't be committed goes back to the queue.
    pause.stopping = True
    follower.close()
    alike.wake()
    worker.stop(timeout=int(settings.drain_timeout.total_seconds() * 1000))
    reconciler.stop(settings.drain_timeout)
    writer.stop(settings.drain_timeout)
    broker.close()
    if metrics is not None:
        metrics.close()
    log.info("worker ended")


def _kept_free(threads: int) -> int:
    """Return how many threads a backfill never has: an eighth, at least one where there are several."""
    return 0 if threads == 1 else max(1, threads // 8)


def _follow_holds(broker: RunferryBroker, holds: Holds, queue_names: Sequence[str]) -> bool:
    """Stop or go on with queues that a person held or let go; returns whether Redis answered."""
    try:
        held = holds.all()
    except redis.RedisError:
        return False  # the consumers say that Redis is away; the last word holds until it is back
    for name in queue_names:
        if name in held and not broker.is_paused(name):
            log.warning("queue held", queue=name, who=held[name].who, why=held[name].why)
            broker.pause(name)
        elif name not in held and broker.is_paused(name):
            log.info("queue goes on", queue=name)
            broker.resume(name)
    return True


def _end_on_signals() -> threading.Event:
    """Return an event that the first SIGTERM or SIGINT sets; a second one ends the process at once."""
    ending = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        if ending.is_set():
            # Whatever is not acked is taken over by others: ending hard loses nothing.
            os._exit(1)
        ending.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return ending


def main() -> None:
    """Run as a child of `worker`, which tells by RUNFERRY_WORKER_QUEUES, _PARENT and _PLACE what it is."""
    names = os.environ.get("RUNFERRY_WORKER_QUEUES", ",".join(queues.ALL)).split(",")
    parent = os.environ.get("RUNFERRY_WORKER_PARENT")
    try:
        settings = Settings.from_environment()
        configure(settings, ids=message_ids)
        report_uncaught()
        place = int(os.environ.get("RUNFERRY_WORKER_PLACE", "1"))
        run_process(settings, names, place=place, parent_pid=int(parent) if parent else None)
    except RunferryError as error:
        say(f"worker: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
