"""Survey: asks the workers about what the command lists, a bounded number of slices at once, and folds the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import asyncpg
import orjson
from dramatiq import Message

from ops.reconcile.folding import Folder, Took
from ops.reconcile.patience import Patience
from ops.reconcile.portions import Cutter, Portion
from ops.reconcile.queries import QUERIES
from shared import queues
from shared.broker.broker import RunferryBroker
from shared.reconciling.slices import Answer, Slice
from shared.run_folders.listing import ListedRun

#: Enough that no worker waits for us, few enough that memory stays the same for any tree.
_SLICES_AT_ONCE: Final = 24
_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.1


class Survey:
    """Asks for one report, and waits for the answers."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        broker: RunferryBroker,
        report_id: int,
        cutter: Cutter,
        folder: Folder,
        patience: Patience,
    ) -> None:
        self._connection = connection
        self._broker = broker
        self._report_id = report_id
        self._cutter = cutter
        self._folder = folder
        self._patience = patience

    async def ask(
        self, runs: Iterable[ListedRun], progress: Callable[[int], None], took: Took | None = None
    ) -> None:
        """Ask about these runs until every slice is answered; `took` hears each verdict.

        Raises UsageError where a worker sees another tree, can't judge, or no worker is there.
        """
        listing = self._cutter.portions(runs)
        outstanding: dict[int, Slice] = {}
        exhausted = False
        pause_s = _FIRST_PAUSE_S
        while outstanding or not exhausted:
            while not exhausted and len(outstanding) < _SLICES_AT_ONCE:
                portion = await asyncio.to_thread(_next, listing)
                if portion is None:
                    exhausted = True
                    continue
                self._folder.listed(portion)
                if portion.asked.runs:
                    outstanding[portion.asked.number] = portion.asked
                    await asyncio.to_thread(self._broker.enqueue_many, [message_of(portion.asked)])
            answers = await self._connection.fetch(QUERIES["take_answers"], self._report_id, list(outstanding))
            for record in answers:
                asked = outstanding.pop(record["slice"])
                answer = Answer.from_json(orjson.loads(record["answer"]))
                await self._folder.fold(asked, record["worker"], answer, took)
                progress(self._folder.done_runs)
            if answers:
                self._patience.rest()
                pause_s = _FIRST_PAUSE_S
            elif outstanding:
                await self._patience.look(len(outstanding))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


def _next(listing: Iterator[Portion]) -> Portion | None:
    return next(listing, None)


def message_of(asked: Slice) -> Message[Any]:
    """Return the message that asks the workers."""
    return Message(
        queue_name=queues.RECONCILE,
        actor_name=queues.COMPARE,
        args=(),
        kwargs={"message": asked.to_wire()},
        options={},
    )
