"""Alike failures: many distinct outputs that fail in the same unknown way mean that the code or the world is broken.

A bad deployment must not bury a backlog one output at a time. So after some outputs in a row have failed alike,
nothing is counted against any of them: each waits where it is, tries again with growing pauses, goes back to the queue
after some of them, and the first that passes lets the others go on.
"""

from __future__ import annotations

import threading
import time
from typing import Final

import structlog

from workers.pause import Pause, Stopping

_FIRST_PAUSE_S: Final = 0.5

log = structlog.get_logger(__name__)


class AlikeFailures:
    """Counts distinct messages in a row that failed with one fingerprint; used by all threads of a process."""

    def __init__(self, limit: int, pause: Pause) -> None:
        self._limit = limit
        self._pause = pause
        self._condition = threading.Condition()
        self._fingerprint = ""
        self._message_ids: set[str] = set()

    def passed(self) -> None:
        """An output was committed: the code works."""
        with self._condition:
            if not self._message_ids:
                return
            self._message_ids.clear()
            self._fingerprint = ""
            self._pause.alike_reason = ""
            self._condition.notify_all()

    def failed(self, fingerprint: str, message_id: str, why: str) -> bool:
        """Take in a failure; returns whether too many fail alike, so that none of them may be buried."""
        with self._condition:
            if fingerprint != self._fingerprint:
                self._fingerprint = fingerprint
                self._message_ids.clear()
                self._pause.alike_reason = ""
            self._message_ids.add(message_id)
            if len(self._message_ids) < self._limit:
                return False
            if not self._pause.alike_reason:
                self._pause.since = time.monotonic()
                log.error("paused: many outputs fail alike", outputs=len(self._message_ids), error=why)
            self._pause.alike_reason = f"{len(self._message_ids)} outputs in a row fail alike: {why}"
            return True

    def wait(self, times: int) -> None:
        """Wait before another try, longer each time, or until an output passes; raises Stopping."""
        pause_s = _FIRST_PAUSE_S * 2.0**times
        with self._condition:
            self._condition.wait_for(lambda: self._pause.stopping or not self._message_ids, timeout=pause_s)
        if self._pause.stopping:
            raise Stopping

    def wake(self) -> None:
        """Let everybody look again; called when the process is asked to end."""
        with self._condition:
            self._condition.notify_all()
