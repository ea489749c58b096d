"""Patience: how long to wait for workers, and when to say that there are none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from producers.vigil import Vigil
from producers.worker_processes import WorkerProcesses
from shared.broker.broker import RunferryBroker
from shared.errors import QueueAway, UsageError

_LOOK_EVERY_S: Final = 1.0


class Patience:
    """Watches over the workers of one queue while something is waited for."""

    def __init__(
        self,
        broker: RunferryBroker,
        queue: str,
        timeout_s: float,
        own_workers: WorkerProcesses | None,
        say: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._own_workers = own_workers
        self._say = say
        self._vigil = Vigil(timeout_s, own_workers=own_workers is not None, queue=queue)
        self._look_at_s = time.monotonic() + _LOOK_EVERY_S
        self._away = ""

    def rest(self) -> None:
        """Something has come: nobody is missed."""
        self._vigil.rest()

    async def look(self, waiting_for: int) -> None:
        """Look at the workers, if it is time for it; raises UsageError where nothing more is to be expected."""
        if time.monotonic() < self._look_at_s:
            return
        self._look_at_s = time.monotonic() + _LOOK_EVERY_S
        if self._own_workers is not None and (status := self._own_workers.exit_status()) is not None:
            raise UsageError(
                f"The workers ended by themselves, with status {status}. The end of {self._own_workers.log}:\n"
                f"{self._own_workers.tail()}"
            )
        try:
            workers = await asyncio.to_thread(self._broker.live_workers)
            depth = (await asyncio.to_thread(self._broker.depths))[self._queue]
            hold = (await asyncio.to_thread(self._broker.holds)).get(self._queue)
        except QueueAway as away:
            if str(away) != self._away:
                self._away = str(away)
                self._say(f"Waiting for Redis: {away}")
            return
        sight = self._vigil.look(
            workers,
            queued=depth.pending,
            buried=depth.dead,
            unheard=waiting_for,
            now_s=time.monotonic(),
            hold=hold,
        )
        if sight.give_up is not None:
            raise UsageError(sight.give_up)
        if sight.note is not None:
            self._say(sight.note)
