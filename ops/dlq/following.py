"""Following: what becomes of the messages of a replay, until each has come to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import asyncpg

from ops.dlq.messages import letter_id_of
from ops.dlq.queries import QUERIES
from producers.vigil import Vigil
from shared import queues
from shared.broker.depths import Depth
from shared.broker.holds import Hold
from shared.broker.registry import WorkerInfo
from shared.errors import QueueAway

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


class Watched(Protocol):
    """The part of the broker that tells who works and how much is left."""

    def depths(self) -> Mapping[str, Depth]: ...

    def live_workers(self) -> Sequence[WorkerInfo]: ...

    def holds(self) -> Mapping[str, Hold]: ...


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many messages of a replay came to which end so far."""

    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def handled(self) -> int:
        """All that came to an end."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Those after which the letter still waits."""
        return sum(self.counts.get(outcome, 0) for outcome in ("dead_lettered", "conflict", "deleted"))


class Follower:
    """Follows one batch; `say` tells the user what holds it up."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        queue: Watched,
        batch_id: str,
        *,
        worker_timeout_s: float,
        own_workers: bool,
        say: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._batch_id = batch_id
        self._vigil = Vigil(worker_timeout_s, own_workers=own_workers)
        self._say = say
        self._away = ""

    async def look(self) -> Outcomes:
        """Return what is known now."""
        rows = await self._connection.fetch(QUERIES["outcomes"], self._batch_id)
        return Outcomes({row["outcome"]: row["messages"] for row in rows})

    async def until(self, followed: int, report: Callable[[Outcomes], None]) -> Outcomes:
        """Wait until so many messages came to an end, and return the outcomes; fewer where nobody works on them."""
        pause_s = _FIRST_PAUSE_S
        seen = -1
        self._vigil.rest()
        while True:
            outcomes = await self.look()
            if outcomes.handled != seen:
                seen, pause_s = outcomes.handled, _FIRST_PAUSE_S
                report(outcomes)
            if outcomes.handled >= followed or await self.gives_up(followed - outcomes.handled):
                return outcomes
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    async def not_committed(self) -> Mapping[str, list[int]]:
        """Return the letters of the replay that still wait, by outcome."""
        letters: dict[str, list[int]] = {}
        for row in await self._connection.fetch(QUERIES["not_committed"], self._batch_id):
            letters.setdefault(row["outcome"], []).append(letter_id_of(row["message_id"]))
        return {outcome: sorted(ids) for outcome, ids in letters.items()}

    async def gives_up(self, unheard: int) -> bool:
        """Say what holds up so many messages, if it is new, and whether to wait no longer."""
        try:
            workers, depth, hold = await asyncio.to_thread(self._ask)
        except QueueAway as away:
            if str(away) != self._away:
                self._away = str(away)
                self._say(self._away)
            return False
        sight = self._vigil.look(
            workers, queued=depth.pending, buried=depth.dead, unheard=unheard, now_s=time.monotonic(), hold=hold
        )
        if sight.note is not None:
            self._say(sight.note)
        if sight.give_up is not None:
            self._say(sight.give_up)
        return sight.give_up is not None

    def _ask(self) -> tuple[Sequence[WorkerInfo], Depth, Hold | None]:
        queue = self._queue
        return queue.live_workers(), queue.depths()[queues.BACKFILL], queue.holds().get(queues.BACKFILL)
