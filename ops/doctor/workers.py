"""Workers and queues: who consumes, what is held, what waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ops.doctor.clocks import judge_worker_clocks
from ops.doctor.finding import Finding, good, warning
from shared import __version__
from shared.broker.depths import Depth
from shared.broker.holds import Hold
from shared.broker.registry import WorkerInfo, WorkerState
from shared.counting import counted

_START: Final = "Start workers: worker"


def judge_workers(
    workers: Sequence[WorkerInfo], holds: Mapping[str, Hold], depths: Mapping[str, Depth]
) -> Iterator[Finding]:
    """Yield how the consuming side is."""
    yield _alive(workers, sum(depth.pending for depth in depths.values()))
    yield _paused(workers)
    yield _alike(workers)
    yield judge_worker_clocks(workers)
    for queue, hold in sorted(holds.items()):
        why = f": {hold.why}" if hold.why else ""
        yield warning(f"queue {queue}", f"is held by {hold.who}{why}", f"Let it go on: ops resume {queue}")


def _alive(workers: Sequence[WorkerInfo], pending: int) -> Finding:
    if workers:
        return good("workers", f"{counted(len(workers), 'process is', 'processes are')} alive")
    return warning("workers", f"none is alive; {counted(pending, 'message waits', 'messages wait')}", _START)


def _paused(workers: Sequence[WorkerInfo]) -> Finding:
    paused = [worker for worker in workers if worker.state is WorkerState.PAUSED]
    if not paused:
        return good("paused workers", "none")
    first = paused[0]
    return warning(
        "paused workers",
        f"{len(paused):,} of {len(workers):,}; {first.host}:{first.pid} says: {first.reason}",
        "They go on by themselves once that is mended.",
    )


def _alike(workers: Sequence[WorkerInfo]) -> Finding:
    name = "versions and roots"
    versions = sorted({worker.version for worker in workers} | {__version__})
    roots = sorted({worker.root for worker in workers})
    if len(versions) > 1:
        return warning(name, f"versions {', '.join(versions)} are at work", "Finish the upgrade.")
    if len(roots) > 1:
        return warning(name, f"workers see different roots: {', '.join(roots)}", "Set one RUNFERRY_ROOT for all.")
    return good(name, "are the same everywhere")
