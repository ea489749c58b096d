"""Who carries the tree: the baselines, and runferry from end to end.

Each is a command whose whole run is on the clock, start-up included; workers are there before, as in a deployment.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import redis

from benchmarks import stock_dramatiq
from benchmarks.measured_command import Measured, run_measured
from benchmarks.measurement import Measurement
from benchmarks.processor_time import tree_cpu_s
from benchmarks.stores import BenchmarkFailed, BenchmarkStores
from benchmarks.tree import CARDS
from benchmarks.worker_processes import command_path, running_stock_workers, running_workers

STAGES: Final = 5
_POLL_S: Final = 0.01
_DRAIN_TIMEOUT_S: Final = 600.0


def sequential(stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    """(a): a statement at a time in one process; it leaves out stage 5's output, which has no JSON."""
    measured, servers = on_the_clock(
        stores,
        lambda: run_measured([sys.executable, "-m", "benchmarks.sequential", str(root)], stores.environment()),
    )
    _check_rows(stores, "sequential", runs, stage_outputs=STAGES - 1)
    return Measurement("sequential", number, runs, measured.seconds, {"client": measured.cpu_s, **servers})


def copy(stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    """(b): bare COPY by one process."""
    return _copy("copy", 1, stores, root, runs, number)


def copy_by_two(stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    """(b2): bare COPY by two processes."""
    return _copy("copy_by_two", 2, stores, root, runs, number)


def dramatiq(stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    """(d): Dramatiq as it comes, a transaction a run, two worker processes; ends when all is acknowledged."""
    publish = [sys.executable, "-m", "benchmarks.stock_dramatiq", str(root)]

    def carry() -> Measured:
        started_s = time.perf_counter()
        published = run_measured(publish, stores.environment())
        _await_drained(stores)
        return Measured(time.perf_counter() - started_s, published.cpu_s, published.stdout, published.peak_mib)

    with running_stock_workers(stores) as workers:
        before_s = tree_cpu_s(workers.pid)
        measured, servers = on_the_clock(stores, carry)
        workers_s = tree_cpu_s(workers.pid) - before_s
    _check_rows(stores, "dramatiq", runs, stage_outputs=STAGES)
    cpu_s = {"client": measured.cpu_s, "workers": workers_s, **servers}
    return Measurement("dramatiq", number, runs, measured.seconds, cpu_s)


def runferry(stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    """(c): `producer backfill --all --wait` through Redis and two worker processes."""
    with running_workers(stores) as workers:
        return backfilled(stores, root, runs, number, workers.pid)


def backfilled(
    stores: BenchmarkStores,
    root: Path,
    runs: int,
    number: int,
    workers_pid: int,
    *,
    again: bool = False,
    beside_others: bool = False,
    started_as: Callable[[int], None] = lambda _pid: None,
) -> Measurement:
    """Backfill with workers that run already; `again`: everything must come back as a duplicate.

    `beside_others`: somebody else writes rows meanwhile, so they are not counted. `started_as` is called with the
    producer's process id. Raises BenchmarkFailed where an output is not accounted for as it must be.
    """
    name, verdict = ("duplicates", "duplicates") if again else ("runferry", "applied")
    backfill = [command_path("producer"), "backfill", "--all", "--wait", "--json", "--root", str(root)]
    before_s = tree_cpu_s(workers_pid)
    measured, servers = on_the_clock(
        stores, lambda: run_measured(backfill, stores.environment(), started_as=started_as)
    )
    workers_s = tree_cpu_s(workers_pid) - before_s
    result = json.loads(measured.stdout)
    if (result["runs"], result[verdict]) != (runs, runs * STAGES):
        raise BenchmarkFailed(f"The backfill accounts for something else than {runs} runs: {result}")
    if not beside_others:
        _check_rows(stores, name, runs, stage_outputs=STAGES, ledger=STAGES)
    cpu_s = {"client": measured.cpu_s, "workers": workers_s, **servers}
    return Measurement(name, number, runs, measured.seconds, cpu_s)


CONTENDERS: Final[Mapping[str, Callable[[BenchmarkStores, Path, int, int], Measurement]]] = {
    "sequential": sequential,
    "copy": copy,
    "copy_by_two": copy_by_two,
    "dramatiq": dramatiq,
    "runferry": runferry,
}


def on_the_clock(stores: BenchmarkStores, run: Callable[[], Measured]) -> tuple[Measured, dict[str, float]]:
    """Run something, and return it with the processor time that the servers used for it."""
    before = stores.server_times()
    measured = run()
    after = stores.server_times()
    return measured, {
        "postgres": after.postgres_s - before.postgres_s,
        "redis": after.redis_s - before.redis_s,
    }


def _copy(name: str, processes: int, stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.bulk_copy", str(root), str(processes)]
    measured, servers = on_the_clock(stores, lambda: run_measured(command, stores.environment()))
    _check_rows(stores, name, runs, stage_outputs=STAGES)
    return Measurement(name, number, runs, measured.seconds, {"client": measured.cpu_s, **servers})


def _await_drained(stores: BenchmarkStores) -> None:
    """Wait until Dramatiq has acknowledged everything; raises BenchmarkFailed where something died or got stuck."""
    messages, dead = (f"{stock_dramatiq.NAMESPACE}:{stock_dramatiq.QUEUE}{suffix}" for suffix in (".msgs", ".XQ"))
    delayed = f"{stock_dramatiq.NAMESPACE}:{stock_dramatiq.QUEUE}.DQ.msgs"
    deadline = time.monotonic() + _DRAIN_TIMEOUT_S
    with redis.Redis.from_url(stores.redis_url) as client:
        while client.hlen(messages) or client.hlen(delayed):
            if time.monotonic() > deadline:
                raise BenchmarkFailed("Stock Dramatiq did not drain its queue.")
            time.sleep(_POLL_S)
        if died := client.zcard(dead):
            raise BenchmarkFailed(f"{died} messages of stock Dramatiq died.")


def _check_rows(stores: BenchmarkStores, name: str, runs: int, *, stage_outputs: int, ledger: int = 0) -> None:
    expected = {
        "User": 1,
        "Run": runs,
        "InspirationReport": runs,
        "OpportunityCard": runs * CARDS,
        "StageOutput": runs * stage_outputs,
        "ledger": runs * ledger,
        "dead_letter": 0,
    }
    if (found := stores.row_counts()) != expected:
        raise BenchmarkFailed(f"{name} was to write {expected} rows and wrote {found}.")
