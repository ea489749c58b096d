"""Own workers: worker processes that live as long as a replay, for who has none running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from producers.worker_processes import WorkerProcesses
from shared.command import say
from shared.printable import briefly
from shared.settings import Settings
from shared.stores import Stores

#: On top of what a worker may take to drain.
_STOP_GRACE_S = 5.0


@contextmanager
def own_workers(processes: int | None, stores: Stores, settings: Settings, batch_id: str) -> Iterator[None]:
    """Run so many worker processes for the length of the block; None runs none."""
    if processes is None:
        yield
        return
    environment = {
        "DATABASE_URL": stores.database.url,
        "REDIS_URL": stores.redis_url,
        "RUNFERRY_ROOT": str(settings.root.absolute()),
    }
    workers = WorkerProcesses.start(processes, settings.home.absolute() / "logs" / f"{batch_id}.log", environment)
    say(f"Workers run with this command; their log is {briefly(workers.log)}")
    try:
        yield
    finally:
        workers.stop(settings.drain_timeout.total_seconds() + _STOP_GRACE_S)
