"""The heartbeat: says that this worker lives, whatever its threads are busy with, and takes over from the dead.

A worker judges others only once it was heard itself, without a gap, for as long as it takes to be dead and the longest
sleep between two tries. Else the first one to be heard after an outage of Redis would rob those that still sleep.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

import redis

from shared.broker.client import LONGEST_PAUSE_S
from shared.broker.registry import EXPIRY_MS, WorkerInfo
from shared.broker.scripts import Scripts
from shared.counting import counted

_logger = logging.getLogger(__name__)

#: Beats before a silent worker counts as dead.
_BEATS_PER_TIMEOUT: Final = 5


class Heartbeat:
    """Beats from a thread of its own until it is stopped."""

    def __init__(
        self, scripts: Scripts, worker_id: str, timeout_ms: int, describe: Callable[[], WorkerInfo | None]
    ) -> None:
        self._scripts = scripts
        self._worker_id = worker_id
        self._timeout_s = timeout_ms / 1000
        self._describe = describe
        self._stopped = Event()
        self._missed = 0
        self._steady_since_s = self._last_beat_s = time.monotonic()
        self._thread = Thread(target=self._run, name="runferry-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        interval_s = self._timeout_s / _BEATS_PER_TIMEOUT
        while True:
            try:
                self._beat()
            except (redis.RedisError, OSError) as error:
                self._missed += 1
                self._steady_since_s = time.monotonic()
                if self._missed == 1:
                    _logger.warning("Redis does not hear this worker's heartbeat: %s", error)
            if self._stopped.wait(interval_s):
                return

    def _beat(self) -> None:
        # First: if it takes long, the right to judge must be asked for afterwards.
        announcement = self._announcement()
        now_s = time.monotonic()
        if now_s - self._last_beat_s > self._timeout_s:
            # This process was stopped, or its machine slept; others may have been, too.
            self._steady_since_s = now_s
        self._last_beat_s = now_s
        may_judge = now_s - self._steady_since_s > self._timeout_s + LONGEST_PAUSE_S
        reply = self._scripts.run(
            "beat", self._worker_id, int(self._timeout_s * 1000), int(may_judge), announcement, EXPIRY_MS
        )
        if self._missed:
            _logger.warning("Redis hears this worker again, after %s", counted(self._missed, "missed heartbeat"))
            self._missed = 0
        for dead, queue, count in zip(reply[0::3], reply[1::3], reply[2::3], strict=True):
            _logger.warning(
                "Took over %s of queue %s from the dead worker %s",
                counted(count, "message"),
                queue.decode(),
                dead.decode(),
            )

    def _announcement(self) -> bytes:
        try:
            info = self._describe()
            # Within the same care: a root or a reason may hold text that JSON can't.
            return info.to_json() if info else b""
        except Exception:
            # A worker that lives but stops beating would be robbed of its messages again and again.
            _logger.exception("This worker can't describe itself")
            return b""
