"""Workers that run while something is measured: runferry's, or Dramatiq's as they come."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

import redis

from benchmarks import stock_dramatiq
from benchmarks.measured_command import REPOSITORY, clean_environment
from benchmarks.stores import BenchmarkFailed, BenchmarkStores
from shared.broker.registry import Registry
from shared.settings import Settings

WORKER_PROCESSES: Final = 2
_READY_TIMEOUT_S: Final = 60.0
_END_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
_SHOWN_CHARACTERS: Final = 2_000
_NONE: Mapping[str, str] = MappingProxyType({})


def command_path(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def running_workers(
    stores: BenchmarkStores,
    processes: int = WORKER_PROCESSES,
    *,
    threads: int | None = None,
    environment: Mapping[str, str] = _NONE,
    command: Sequence[str] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the supervisor of workers that are ready, by default the `worker` command's; they are told to end after.

    Raises BenchmarkFailed where they don't come up.
    """
    chosen = [*(command or [command_path("worker")]), "--processes", str(processes)]
    if threads is not None:
        chosen += ["--threads", str(threads)]
    with redis.Redis.from_url(stores.redis_url) as client:
        registry = Registry(client, Settings.model_fields["namespace"].default)
        with _running(
            chosen, stores.environment() | dict(environment), lambda: len(registry.live_workers()) >= processes
        ) as workers:
            yield workers


@contextmanager
def running_stock_workers(
    stores: BenchmarkStores, environment: Mapping[str, str] = _NONE
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield Dramatiq's own command with two processes of eight threads, ready; raises BenchmarkFailed."""
    module = "benchmarks.stock_dramatiq:broker"
    command = [sys.executable, "-m", "dramatiq", module, "--processes", str(WORKER_PROCESSES), "--threads", "8"]
    heartbeats = f"{stock_dramatiq.NAMESPACE}:__heartbeats__"
    with (
        redis.Redis.from_url(stores.redis_url) as client,
        _running(
            command,
            stores.environment() | dict(environment),
            lambda: client.zcard(heartbeats) >= WORKER_PROCESSES,
        ) as workers,
    ):
        yield workers


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as said:
        workers = subprocess.Popen(
            command, cwd=REPOSITORY, env=clean_environment(environment), stdout=said, stderr=subprocess.STDOUT
        )
        try:
            _wait_until(ready, workers, said)
            yield workers
        finally:
            workers.terminate()
            try:
                workers.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                workers.kill()
                workers.wait()


def _wait_until(ready: Callable[[], bool], workers: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while not ready():
        if workers.poll() is not None or time.monotonic() > deadline:
            said.seek(0)
            text = said.read().decode(errors="replace")[-_SHOWN_CHARACTERS:]
            raise BenchmarkFailed(f"The workers did not come up:\n{text}")
        time.sleep(_POLL_S)
