"""Survey: asks the workers about what the command lists, a bounded number of slices at once, and folds the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
from dramatiq import Message

from ops.reconcile.patience import Patience
from ops.reconcile.queries import QUERIES
from ops.reconcile.tally import Tally
from shared import queues
from shared.broker.broker import RunferryBroker
from shared.errors import UsageError
from shared.ids import RunId, Stage
from shared.reconciling.slices import Answer, Named, Slice
from shared.reconciling.verdicts import Standing
from shared.run_folders.listing import ListedRun, list_named

_SLICE_RUNS: Final = 50
#: A worker holds the documents of a slice, and their rows, in memory.
_SLICE_BYTES: Final = 8 * 1024 * 1024
#: Enough that no worker waits for us, few enough that memory stays the same for any tree.
_SLICES_AT_ONCE: Final = 24
_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.1


class Survey:
    """Asks for one report. Everything it learns goes into the tally."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        broker: RunferryBroker,
        report_id: int,
        root: Path,
        settle_s: float,
        max_output_bytes: int,
        tally: Tally,
        patience: Patience,
    ) -> None:
        self._connection = connection
        self._broker = broker
        self._report_id = report_id
        self._root = root.absolute()
        self._settle_s = settle_s
        self._max_output_bytes = max_output_bytes
        self._tally = tally
        self._patience = patience
        self._numbers = count(1)
        self.done_runs = 0

    async def ask(
        self,
        runs: Iterable[ListedRun],
        progress: Callable[[int], None],
        took: Callable[[RunId, Stage, Standing], None] | None = None,
    ) -> None:
        """Ask about these runs until every slice is answered; `took` hears each verdict.

        Raises UsageError where a worker sees another tree, can't judge, or no worker is there.
        """
        listing = iter(runs)
        outstanding: dict[int, Slice] = {}
        exhausted = False
        pause_s = _FIRST_PAUSE_S
        while outstanding or not exhausted:
            while not exhausted and len(outstanding) < _SLICES_AT_ONCE:
                asked = await asyncio.to_thread(self._next, listing)
                if asked is None:
                    exhausted = True
                elif asked.runs:
                    outstanding[asked.number] = asked
                    await asyncio.to_thread(self._broker.enqueue_many, [_message(asked)])
            answers = await self._connection.fetch(QUERIES["take_answers"], self._report_id, list(outstanding))
            for record in answers:
                asked = outstanding.pop(record["slice"])
                await self._fold(asked, record["worker"], Answer.from_json(orjson.loads(record["answer"])), took)
                progress(self.done_runs)
            if answers:
                self._patience.rest()
                pause_s = _FIRST_PAUSE_S
            elif outstanding:
                await self._patience.look(len(outstanding))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    def _next(self, listing: Iterator[ListedRun]) -> Slice | None:
        """Return the next slice, None at the end; counts what is listed, and names what can't be read."""
        runs: dict[RunId, Mapping[Stage, str]] = {}
        size_bytes = 0
        for run in listing:
            self._tally.runs += 1
            self._tally.listed += len(run.stages) + len(run.faults)
            for fault in run.faults:
                self._tally.answers[Standing.UNREADABLE] += 1
                stage = 0 if fault.stage is None else fault.stage.value
                self._tally.name(Named(run.run_id, stage, Standing.UNREADABLE, detail=fault.reason))
            if run.stages:
                runs[run.run_id] = run.stages
                size_bytes += run.size_bytes
                if len(runs) == _SLICE_RUNS or size_bytes >= _SLICE_BYTES:
                    break
            else:
                self.done_runs += 1
        if not runs:
            return None
        return Slice(self._report_id, next(self._numbers), str(self._root), self._settle_s, runs)

    async def _fold(
        self,
        asked: Slice,
        worker: str,
        answer: Answer,
        took: Callable[[RunId, Stage, Standing], None] | None,
    ) -> None:
        if answer.error is not None:
            raise UsageError(f"The worker {worker} could not judge: {answer.error}")
        if answer.seen_otherwise:
            await asyncio.to_thread(self._look_again, asked, worker, answer)
        for run_id, stages in asked.runs.items():
            words = answer.standings.get(run_id, {})
            for stage in stages:
                standing = words.get(stage)
                if standing is not None:
                    self._tally.answers[standing] += 1
                    if took is not None:
                        took(run_id, stage, standing)
        for named in answer.named:
            self._tally.name(named)
        self.done_runs += len(asked.runs)

    def _look_again(self, asked: Slice, worker: str, answer: Answer) -> None:
        """Find out who is right where a worker saw something else: did the file change, or is its tree another one?"""
        run_ids = dict.fromkeys(run_id for run_id, _, _ in answer.seen_otherwise)
        now = {run.run_id: run.stages for run in list_named(self._root, run_ids, self._max_output_bytes)}
        for run_id, stage, theirs in answer.seen_otherwise:
            ours = now.get(run_id, {}).get(stage)
            if theirs == "" and ours is None:
                self._tally.listed -= 1  # it was removed since it was listed
            elif ours == asked.runs[run_id][stage]:
                what = "does not see" if theirs == "" else "sees other files in"
                raise UsageError(
                    f"The worker {worker} {what} {run_id}/stage{stage.value} below {self._root}: "
                    "it looks at another root, an empty or old mount, or may not read it."
                )


def _message(asked: Slice) -> Message[Any]:
    return Message(
        queue_name=queues.RECONCILE,
        actor_name=queues.COMPARE,
        args=(),
        kwargs={"message": asked.to_wire()},
        options={},
    )
