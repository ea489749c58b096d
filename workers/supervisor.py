"""The supervisor: keeps a number of worker processes alive until it is told to end.

Dramatiq's own command ends as a whole when one of its processes is killed; here the others go on, and the dead one is
replaced.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Final

import structlog

_POLL_S: Final = 0.2
#: A process that lived at least this long is replaced at once; one that dies sooner waits longer each time.
_HEALTHY_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 15.0
#: Above the drain of the processes: they end by themselves, or are killed; whatever they hold is taken over.
GRACE: Final = timedelta(seconds=10)
_UNUSABLE: Final = 2

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Place:
    """One of the processes that shall run, and its history."""

    number: int
    arguments: Sequence[str] = ("workers.process",)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    start_again_at: float = 0.0


class Supervisor:
    """Runs `processes` copies of `python -m workers.process` with `environment`, and `companions`: other modules, with
    their arguments.
    """

    def __init__(
        self,
        processes: int,
        environment: Mapping[str, str],
        drain_timeout: timedelta,
        companions: Sequence[Sequence[str]] = (),
    ) -> None:
        self._places = [_Place(number) for number in range(1, processes + 1)]
        self._places += [_Place(processes + number, module) for number, module in enumerate(companions, 1)]
        self._environment = {
            # glibc gives each thread memory of its own, and keeps what the largest message took in each of them: a
            # worker with sixteen threads held twice what it needs. Threads that share one interpreter lock
            # lose nothing by sharing.
            "MALLOC_ARENA_MAX": "2",
            **environment,
            "RUNFERRY_WORKER_PARENT": str(os.getpid()),
        }
        self._drain_s = (drain_timeout + GRACE).total_seconds()
        self._ending = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit status: 0, or that of processes which can't be started."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        while not self._ending:
            for place in self._places:
                status = self._tend(place)
                if status is not None:
                    self._stop_all()
                    return status
            time.sleep(_POLL_S)
        self._stop_all()
        return 0

    def _tend(self, place: _Place) -> int | None:
        now = time.monotonic()
        if place.process is None:
            if now >= place.start_again_at:
                # A session of its own: Ctrl-C reaches the supervisor alone, which ends its processes in order.
                place.process = subprocess.Popen(
                    # Safe path: the folder that we run in may well have a `workers` or a `shared` of its own.
                    [sys.executable, "-P", "-m", *place.arguments],
                    env={**self._environment, "RUNFERRY_WORKER_PLACE": str(place.number)},
                    start_new_session=True,
                )
                place.started_at = now
            return None
        status = place.process.poll()
        if status is None:
            return None
        if status == _UNUSABLE:
            return status  # it said why: a setting that no restart mends
        lived_s = now - place.started_at
        place.pause_s = _FIRST_PAUSE_S if lived_s >= _HEALTHY_S else min(place.pause_s * 2, _LONGEST_PAUSE_S)
        place.start_again_at = now if lived_s >= _HEALTHY_S else now + place.pause_s
        log.warning(
            "worker process died, replacing it",
            number=place.number,
            module=place.arguments[0],
            status=status,
            lived_s=round(lived_s, 1),
        )
        place.process = None
        return None

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        if self._ending:
            for place in self._places:
                if place.process is not None:
                    place.process.kill()
        self._ending = True

    def _stop_all(self) -> None:
        running = [place.process for place in self._places if place.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self._drain_s
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker process did not drain in time, killing it", pid=process.pid)
                process.kill()
                process.wait()
