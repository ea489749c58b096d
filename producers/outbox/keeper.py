"""The keeper: a thread that does the flusher's rounds while this process lives and something is in the outbox."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from producers.outbox.flusher import Flusher, Round
from shared.counting import counted

_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
#: How often an empty outbox is looked at: a process of this host may have been killed before it published.
_IDLE_S: Final = 5.0

log = logging.getLogger(__name__)


class Keeper:
    """Started by `wake`, once a process; ends with it, or with `close`."""

    def __init__(self, flusher: Flusher, publishing: Callable[[], bool]) -> None:
        self._flusher = flusher
        self._publishing = publishing
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._ending = threading.Event()
        self._pid = 0
        self._trouble = ""

    def wake(self) -> None:
        """Have the outbox looked at soon."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._awake, self._ending = threading.Event(), threading.Event()
                    threading.Thread(
                        target=self._run, args=(self._awake, self._ending), name="runferry-outbox", daemon=True
                    ).start()
                    self._pid = os.getpid()
        self._awake.set()

    def close(self) -> None:
        """End the thread; what is in the outbox stays there, for whoever comes next."""
        with self._lock:
            self._pid = 0
            self._ending.set()
            self._awake.set()

    def _run(self, awake: threading.Event, ending: threading.Event) -> None:
        pause_s = _PAUSE_S
        while not ending.is_set():
            awake.clear()
            try:
                done = self._flusher.round(publishing=self._publishing())
            except Exception as error:
                log.warning("the outbox can't be flushed: %s: %s", type(error).__name__, error)
                done = Round(waiting=1)
            self._tell(done)
            if done.removed or done.published:
                pause_s = _PAUSE_S
            if done.waiting:
                # New entries don't cut this pause short: their writers send them themselves.
                ending.wait(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                pause_s = _PAUSE_S
                awake.wait(_IDLE_S)
                ending.wait(_PAUSE_S)

    def _tell(self, done: Round) -> None:
        trouble = done.troubles[0] if done.troubles else ""
        waiting = counted(done.waiting, "output waits", "outputs wait")
        if trouble != self._trouble:
            if trouble:
                log.warning("%s in the outbox: %s", waiting, trouble)
            elif self._trouble:
                log.info("the outbox empties; %s", waiting)
            self._trouble = trouble
