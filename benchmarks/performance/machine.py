"""What a run was measured on: figures of another machine are other figures."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from benchmarks.stores import BenchmarkStores
from shared import __version__

_SYNCS: Final = 200
_PAGE_BYTES: Final = 8192
_GIBIBYTE: Final = 1024**3


def describe(stores: BenchmarkStores) -> dict[str, Any]:
    """Return the machine, the versions, and how long its disk takes to make a page durable."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / _GIBIBYTE, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgres": stores.services.postgres.version,
        "redis": stores.services.redis.version,
        "runferry": __version__,
        "load_at_start": round(os.getloadavg()[0], 2),
        "fsync_ms": round(_fsync_ms(stores.home), 3),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _fsync_ms(folder: Path) -> float:
    with tempfile.TemporaryFile(dir=folder) as file:
        times = []
        for _ in range(_SYNCS):
            started_s = time.perf_counter()
            os.pwrite(file.fileno(), b"\0" * _PAGE_BYTES, 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started_s)
    return median(times) * 1000
