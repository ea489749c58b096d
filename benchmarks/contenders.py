"""Who carries the tree: the two baselines, and runferry from end to end.

Each is a command whose whole run is on the clock, start-up included; runferry's workers are there before, as in a
deployment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import redis

from benchmarks.measured_command import REPOSITORY, Measured, clean_environment, run_measured
from benchmarks.measurement import Measurement
from benchmarks.processor_time import tree_cpu_s
from benchmarks.stores import BenchmarkFailed, BenchmarkStores
from benchmarks.tree import CARDS
from shared.broker.registry import Registry
from shared.settings import Settings

WORKER_PROCESSES: Final = 2
_STAGES: Final = 5
_READY_TIMEOUT_S: Final = 60.0
_END_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
_SHOWN_CHARACTERS: Final = 2_000


def sequential(stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    """(a): a statement at a time in one process; it leaves out stage 5's output, which has no JSON."""
    measured, servers = _on_the_clock(
        stores,
        lambda: run_measured([sys.executable, "-m", "benchmarks.sequential", str(root)], stores.environment()),
    )
    _check_rows(stores, "sequential", runs, stage_outputs=_STAGES - 1)
    return Measurement("sequential", number, runs, measured.seconds, {"client": measured.cpu_s, **servers})


def copy(stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    """(b): bare COPY by one process."""
    return _copy("copy", 1, stores, root, runs, number)


def copy_by_two(stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    """(b2): bare COPY by two processes."""
    return _copy("copy_by_two", 2, stores, root, runs, number)


def runferry(stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    """(c): `producer backfill --all --wait` through Redis and two worker processes."""
    backfill = [_command("producer"), "backfill", "--all", "--wait", "--json", "--root", str(root)]
    with running_workers(stores) as workers:
        before_s = tree_cpu_s(workers.pid)
        measured, servers = _on_the_clock(stores, lambda: run_measured(backfill, stores.environment()))
        workers_s = tree_cpu_s(workers.pid) - before_s
    result = json.loads(measured.stdout)
    if (result["runs"], result["applied"]) != (runs, runs * _STAGES):
        raise BenchmarkFailed(f"The backfill accounts for something else than {runs} runs: {result}")
    _check_rows(stores, "runferry", runs, stage_outputs=_STAGES, ledger=_STAGES)
    cpu_s = {"client": measured.cpu_s, "workers": workers_s, **servers}
    return Measurement("runferry", number, runs, measured.seconds, cpu_s)


CONTENDERS: Final[Mapping[str, Callable[[BenchmarkStores, Path, int, int], Measurement]]] = {
    "sequential": sequential,
    "copy": copy,
    "copy_by_two": copy_by_two,
    "runferry": runferry,
}


def _copy(name: str, processes: int, stores: BenchmarkStores, root: Path, runs: int, number: int) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.bulk_copy", str(root), str(processes)]
    measured, servers = _on_the_clock(stores, lambda: run_measured(command, stores.environment()))
    _check_rows(stores, name, runs, stage_outputs=_STAGES)
    return Measurement(name, number, runs, measured.seconds, {"client": measured.cpu_s, **servers})


def _on_the_clock(stores: BenchmarkStores, run: Callable[[], Measured]) -> tuple[Measured, dict[str, float]]:
    before = stores.server_times()
    measured = run()
    after = stores.server_times()
    return measured, {
        "postgres": after.postgres_s - before.postgres_s,
        "redis": after.redis_s - before.redis_s,
    }


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


def _command(name: str) -> str:
    return str(Path(sys.executable).parent / name)


@contextmanager
def running_workers(stores: BenchmarkStores) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as said:
        workers = subprocess.Popen(
            [_command("worker"), "--processes", str(WORKER_PROCESSES)],
            cwd=REPOSITORY,
            env=clean_environment(stores.environment()),
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_live(stores, workers, said)
            yield workers
        finally:
            workers.terminate()
            try:
                workers.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                workers.kill()
                workers.wait()


def _wait_until_live(stores: BenchmarkStores, workers: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    with redis.Redis.from_url(stores.redis_url) as client:
        registry = Registry(client, Settings.model_fields["namespace"].default)
        while len(registry.live_workers()) < WORKER_PROCESSES:
            if workers.poll() is not None or time.monotonic() > deadline:
                said.seek(0)
                text = said.read().decode(errors="replace")[-_SHOWN_CHARACTERS:]
                raise BenchmarkFailed(f"The workers did not come up:\n{text}")
            time.sleep(_POLL_S)
