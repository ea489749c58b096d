"""What it costs to carry a tree: end to end beside baselines, and each part alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import redis

from benchmarks.contenders import CONTENDERS, STAGES, backfilled, on_the_clock
from benchmarks.measured_command import run_measured
from benchmarks.measurement import Measurement
from benchmarks.performance.record import Carried
from benchmarks.performance.watching import watching
from benchmarks.processor_time import tree_cpu_s
from benchmarks.stores import BenchmarkFailed, BenchmarkStores
from benchmarks.worker_processes import WORKER_PROCESSES, command_path, running_workers
from shared import queues
from shared.settings import Settings

Carry = Callable[[BenchmarkStores, Path, int], Carried]

#: Far above what a benchmark sends: publishing alone must not wait for anybody.
WITHOUT_MARKS: Final = {
    "RUNFERRY_HIGH_WATER_MESSAGES": str(10**9),
    "RUNFERRY_HIGH_WATER_BYTES": str(10**15),
    "RUNFERRY_HIGH_WATER_MEMORY": "0.99",
}
_DRAIN_TIMEOUT_S: Final = 600.0
_LOOK_EVERY_S: Final = 0.005


def messages_key(queue: str) -> str:
    """Return the key of Redis whose length is what is in a queue and not settled."""
    return f"{Settings.model_fields['namespace'].default}:{queue}.msgs"


def _baseline(name: str) -> Carry:
    def carry(stores: BenchmarkStores, root: Path, runs: int) -> Carried:
        stores.renew()
        before_bytes, before_rows = stores.wal_bytes(), stores.all_rows()
        measurement = CONTENDERS[name](stores, root, runs, 0)
        return _carried(
            measurement, wal_bytes=stores.wal_bytes() - before_bytes, rows=stores.all_rows() - before_rows
        )

    return carry


BASELINES: Final[Mapping[str, Carry]] = {name: _baseline(name) for name in CONTENDERS if name != "runferry"}


def runferry(stores: BenchmarkStores, root: Path, runs: int) -> Iterator[Carried]:
    """Carry the tree, then carry it again, then prove it; the second time no row may be touched."""
    stores.renew()
    with running_workers(stores) as workers, watching(stores.redis_url, workers.pid) as watch:
        before_bytes, before_rows = stores.wal_bytes(), stores.all_rows()
        first = backfilled(stores, root, runs, 0, workers.pid, started_as=watch.producer_started)
        wal_bytes, rows = stores.wal_bytes() - before_bytes, stores.all_rows() - before_rows
        peaks = watch.snapshot()
        yield _carried(first, wal_bytes=wal_bytes, rows=rows, peak_mib=peaks)
        before, before_bytes = stores.row_versions(), stores.wal_bytes()
        again = backfilled(stores, root, runs, 0, workers.pid, again=True)
        if (after := stores.row_versions()) != before:
            raise BenchmarkFailed(f"A second backfill touched rows: {before} became {after}.")
        yield _carried(again, wal_bytes=stores.wal_bytes() - before_bytes)
        yield reconciled(stores, root, runs, workers.pid)


def reconciled(stores: BenchmarkStores, root: Path, runs: int, workers_pid: int) -> Carried:
    """Prove a tree whose every output must match."""
    reconcile = [command_path("ops"), "reconcile", "--all", "--json", "--root", str(root)]
    before_s = tree_cpu_s(workers_pid)
    proof, servers = on_the_clock(stores, lambda: run_measured(reconcile, stores.environment()))
    workers_s = tree_cpu_s(workers_pid) - before_s
    if json.loads(proof.stdout)["verdicts"] != {"match": runs * STAGES}:
        raise BenchmarkFailed(f"The proof found something else: {proof.stdout[:2000]!r}")
    return Carried("reconcile", runs, proof.seconds, {"client": proof.cpu_s, "workers": workers_s, **servers})


def queue(stores: BenchmarkStores, root: Path, runs: int) -> Iterator[Carried]:
    """Publish the tree while nobody consumes, then drain the queue while nobody publishes."""
    stores.renew()
    publish = [command_path("producer"), "backfill", "--all", "--json", "--root", str(root)]
    environment = stores.environment() | WITHOUT_MARKS
    published, servers = on_the_clock(stores, lambda: run_measured(publish, environment))
    if (sent := json.loads(published.stdout)["published"]) != runs * STAGES:
        raise BenchmarkFailed(f"{sent} outputs were published of {runs * STAGES}.")
    yield Carried("publish", runs, published.seconds, {"client": published.cpu_s, **servers})
    yield _drained(stores, runs)
    if (found := stores.row_counts()["ledger"]) != runs * STAGES:
        raise BenchmarkFailed(f"{found} outputs were drained of {runs * STAGES}.")


def _drained(stores: BenchmarkStores, runs: int) -> Carried:
    """Start workers on a full queue, and measure from the first settled message on: booting is no draining."""
    messages = messages_key(queues.BACKFILL)
    deadline = time.monotonic() + _DRAIN_TIMEOUT_S
    with redis.Redis.from_url(stores.redis_url) as client:
        if (full := client.hlen(messages)) != runs:
            raise BenchmarkFailed(f"{full} messages wait, of {runs} runs.")
        with running_workers(stores) as workers:
            while (left := client.hlen(messages)) == full:
                _pause(deadline)
            started_s, servers, workers_s = time.perf_counter(), stores.server_times(), tree_cpu_s(workers.pid)
            while client.hlen(messages):
                _pause(deadline)
            seconds, after = time.perf_counter() - started_s, stores.server_times()
            cpu_s = {
                "workers": tree_cpu_s(workers.pid) - workers_s,
                "postgres": after.postgres_s - servers.postgres_s,
                "redis": after.redis_s - servers.redis_s,
            }
    # Of a handful of messages the first look already finds none.
    return Carried("drain", left or full, seconds, cpu_s)


def _pause(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise BenchmarkFailed("The workers did not drain the queue.")
    time.sleep(_LOOK_EVERY_S)


def scaled(
    stores: BenchmarkStores, root: Path, runs: int, name: str, processes: int = WORKER_PROCESSES, threads: int = 0
) -> Carried:
    """Carry the tree with so many worker processes of so many threads (0: as many as is set)."""
    stores.renew()
    with (
        running_workers(stores, processes, threads=threads or None) as workers,
        watching(stores.redis_url, workers.pid) as watch,
    ):
        before_bytes, before_rows = stores.wal_bytes(), stores.all_rows()
        found = backfilled(stores, root, runs, 0, workers.pid, started_as=watch.producer_started)
        wal_bytes, rows = stores.wal_bytes() - before_bytes, stores.all_rows() - before_rows
        return _carried(found, name=name, wal_bytes=wal_bytes, rows=rows, peak_mib=watch.snapshot())


def _carried(
    measurement: Measurement,
    *,
    name: str | None = None,
    wal_bytes: int | None = None,
    rows: int | None = None,
    peak_mib: dict[str, float] | None = None,
) -> Carried:
    return Carried(
        name or measurement.contender,
        measurement.runs,
        measurement.seconds,
        measurement.cpu_s,
        peak_mib or {},
        wal_bytes,
        rows,
    )
