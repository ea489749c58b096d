"""One command, measured: from its start to its end, with the processor time of it and its children."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.stores import BenchmarkFailed

REPOSITORY: Final = Path(__file__).resolve().parent.parent
#: A hung command must not hang the benchmark: far above what any round takes.
_TIMEOUT_S: Final = 1_800.0
_SHOWN_CHARACTERS: Final = 2_000
_KIBIBYTE: Final = 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """A command that ended well; `peak_mib` is the most memory that it, or a child that it reaped, ever had."""

    seconds: float
    cpu_s: float
    stdout: bytes
    peak_mib: float


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without anything that points at other stores, and with `extra`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL") and not name.startswith(("RUNFERRY_", "PG"))
    }
    return kept | dict(extra)


def run_measured(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    most_status: int = 0,
    started_as: Callable[[int], None] = lambda _pid: None,
) -> Measured:
    """Run `command` to its end; raises BenchmarkFailed, with what it said, where it ended with a greater status.

    `started_as` is called with its process id.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=clean_environment(environment), stdout=subprocess.PIPE, stderr=said
        )
        timer = threading.Timer(_TIMEOUT_S, process.kill)
        timer.start()
        started_as(process.pid)
        try:
            assert process.stdout is not None
            stdout = process.stdout.read()
            # wait4 tells this child's usage, children that it reaped included.
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        except BaseException:
            # Whoever interrupts the benchmark must not leave its commands behind.
            process.kill()
            process.wait()
            raise
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if not 0 <= process.returncode <= most_status:
            said.seek(0)
            text = said.read().decode(errors="replace")[-_SHOWN_CHARACTERS:]
            raise BenchmarkFailed(f"{' '.join(command)} ended with status {process.returncode}:\n{text}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, stdout, usage.ru_maxrss / _KIBIBYTE)
