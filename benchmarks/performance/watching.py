"""Peaks of memory while something runs, looked at often enough that none is missed by much."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import redis

from benchmarks.processor_time import peak_mib

_LOOK_EVERY_S: Final = 0.05
_KIBIBYTE: Final = 1024
_MEBIBYTE: Final = 1024 * 1024


class Watch:
    """Looks at one producer, one Redis, and the processes of one supervisor.

    A process' own high-water mark is read while it lives: what the system reports after its end also counts what
    the parent held when it started it.
    """

    def __init__(self, client: redis.Redis, workers_pid: int) -> None:
        self._peaks = {"producer": 0.0, "redis": 0.0}
        self._client = client
        self._workers_pid = workers_pid
        self._producer_pid: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def producer_started(self, pid: int) -> None:
        """Say which process is to be watched as the producer."""
        self._producer_pid = pid

    def kill_producer(self) -> None:
        """End the producer, if one was started and still runs."""
        if self._producer_pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._producer_pid, signal.SIGKILL)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def snapshot(self) -> dict[str, float]:
        """Return the peaks so far, in MiB: of the producer, of Redis, and of the largest worker process."""
        # One worker process alone is no child of a supervisor.
        worker = peak_mib(self._workers_pid) or _own_peak_mib(self._workers_pid)
        return {**self._peaks, "worker": worker}

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            used = int(self._client.info("memory")["used_memory"])
            self._peaks["redis"] = max(self._peaks["redis"], used / _MEBIBYTE)
            if self._producer_pid is not None:
                self._peaks["producer"] = max(self._peaks["producer"], _own_peak_mib(self._producer_pid))


@contextmanager
def watching(redis_url: str, workers_pid: int) -> Iterator[Watch]:
    """Yield a watch that looks until the end of the block."""
    with redis.Redis.from_url(redis_url) as client:
        watch = Watch(client, workers_pid)
        watch.start()
        try:
            yield watch
        finally:
            watch.stop()


def _own_peak_mib(pid: int) -> float:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / _KIBIBYTE
    return 0.0
