"""Worker processes that live as long as a backfill: started as `worker --processes N`, ended with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: Ends the workers when we are killed outright and can't end them ourselves; Linux knows how, others don't.
_TIED: Final = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
_TAIL_BYTES: Final = 8_192
_TAIL_LINES: Final = 15
_TAIL_COLUMNS: Final = 400


class WorkerProcesses:
    """One `worker` supervisor in a session of its own, so that Ctrl-C reaches it only through us."""

    def __init__(self, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.log = log
        self._process = process

    @classmethod
    def start(cls, processes: int, log: Path, environment: Mapping[str, str]) -> WorkerProcesses:
        """Start the workers; call it in the main thread: when the starting thread ends, so do they."""
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-c", _TIED, str(os.getpid())]
        # Safe path: the folder that we run in may well have a `workers` or a `shared` of its own.
        command += ["-P", "-m", "workers.command", "--processes", str(processes)]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its ports are those of the workers that stay.
                env={**os.environ, **environment, "RUNFERRY_METRICS_PORT": "0"},
                start_new_session=True,
            )
        return cls(log, process)

    def exit_status(self) -> int | None:
        """Return the exit status, None while they run."""
        return self._process.poll()

    def tail(self) -> str:
        """Return the last lines of the log."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
        return "\n".join(line[:_TAIL_COLUMNS] for line in text.splitlines()[-_TAIL_LINES:])

    def stop(self, timeout_s: float) -> None:
        """End the workers: first asked, to finish what they have, then killed; nothing is lost by that."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        # Also what a dead supervisor left behind: the group is ours alone.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
