"""The pause: while the world is broken nothing is consumed, nothing dies, and everybody can see why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from workers.world import reason_of

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0

log = structlog.get_logger(__name__)


class Stopping(Exception):  # noqa: N818 - no error: the process was asked to end
    """The worker stops before the world is whole; what it holds goes back to the queue."""


@dataclass(slots=True)
class Pause:
    """Whether this process is paused, since when and why; written by the writer's loop, read by anybody."""

    world_reason: str = ""
    alike_reason: str = ""
    since: float = 0.0  # time.monotonic()
    stopping: bool = False

    @property
    def reason(self) -> str:
        """Why nothing is consumed, in words; empty while all is well."""
        return self.world_reason or self.alike_reason

    async def until_whole(self, reason: str, probe: Callable[[], Awaitable[None]]) -> None:
        """Wait until `probe` passes, with growing pauses; raises Stopping where the process is asked to end.

        `reason` is what stopped us; from the first probe on it is what the probe says.
        """
        pause_s = _FIRST_PAUSE_S
        if not self.world_reason:
            self.since = time.monotonic()
        self.world_reason = reason
        log.warning("paused", reason=reason)
        while True:
            if self.stopping:
                raise Stopping
            await asyncio.sleep(pause_s)
            try:
                await probe()
            except Exception as error:
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                # The first failure may have been a connection cut by what happened, which says nothing about it.
                self.world_reason = reason = reason_of(error)
                log.info("still paused", reason=reason, probe=f"{type(error).__name__}: {error}")
            else:
                break
        log.warning("resumed", reason=reason, seconds=round(time.monotonic() - self.since, 1))
        self.world_reason = ""
