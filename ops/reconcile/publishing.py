"""Publishing: asks about everything without waiting for an answer, and keeps each question for whoever finishes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import asyncpg
import orjson

from ops.reconcile.choosing import chosen_runs
from ops.reconcile.options import ReconcileOptions
from ops.reconcile.patience import Patience
from ops.reconcile.portions import Cutter, Portion
from ops.reconcile.progress import ReconcileProgress
from ops.reconcile.proving import check_found
from ops.reconcile.queries import QUERIES
from ops.reconcile.survey import message_of
from producers.back_pressure import HighWater, Room, room
from shared import queues
from shared.broker.broker import RunferryBroker
from shared.counting import counted
from shared.settings import Settings

_PORTIONS_AT_ONCE: Final = 20
_LOOK_AGAIN_S: Final = 0.2


@dataclass(slots=True)
class Published:
    """What was asked; `has_workers` says whether somebody is there to answer."""

    report_id: int
    runs: int = 0
    outputs: int = 0
    slices: int = 0
    last_slice: int = 0
    has_workers: bool = True

    def to_json(self, options: ReconcileOptions) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "report_id": self.report_id,
            "finished": False,
            "runs": self.runs,
            "outputs_on_disk": self.outputs,
            "slices": self.slices,
            "scope": options.scope(),
        }

    def text(self) -> Iterator[str]:
        """Yield it for people."""
        listed = f"{counted(self.outputs, 'output')} of {counted(self.runs, 'run')}"
        yield f"Listed {listed}, and asked the workers in {counted(self.slices, 'slice')}."
        if not self.has_workers:
            yield f"No worker on the queue `{queues.RECONCILE}` is alive: start one with `worker`."
        yield f"Once they have answered, see report #{self.report_id} with: ops reconcile --report {self.report_id}"


async def publish(
    options: ReconcileOptions,
    settings: Settings,
    connection: asyncpg.Connection,
    broker: RunferryBroker,
    progress: ReconcileProgress,
    report_id: int,
) -> Published:
    """Ask about all runs that are meant; raises UsageError where there are none, or the queue stays full."""
    published = Published(report_id)
    patience = Patience(broker, queues.RECONCILE, options.worker_timeout_s, None, progress.note)
    portions = Cutter(report_id, options.root, options.settle_s).portions(
        chosen_runs(options, settings.max_output_bytes)
    )
    while some := await asyncio.to_thread(lambda: list(islice(portions, _PORTIONS_AT_ONCE))):
        await _await_room(broker, HighWater.of(settings), patience, progress)
        # The questions first: an answer to a question that is not kept would count for nothing.
        await connection.executemany(QUERIES["keep_question"], [_row(portion) for portion in some])
        messages = [message_of(portion.asked) for portion in some if portion.asked.runs]
        await asyncio.to_thread(broker.enqueue_many, messages)
        _count(published, some, len(messages))
        progress.update(published.runs)
    check_found(options, published.outputs)
    workers = await asyncio.to_thread(broker.live_workers)
    published.has_workers = any(queues.RECONCILE in worker.queues for worker in workers)
    return published


def _count(published: Published, some: Sequence[Portion], messages: int) -> None:
    published.runs += sum(portion.runs for portion in some)
    published.outputs += sum(portion.outputs for portion in some)
    published.slices += messages
    published.last_slice = some[-1].asked.number


def _row(portion: Portion) -> tuple[int, int, str]:
    return portion.asked.report_id, portion.asked.number, orjson.dumps(portion.to_json()).decode()


async def _await_room(
    broker: RunferryBroker, marks: HighWater, patience: Patience, progress: ReconcileProgress
) -> None:
    said = False

    def look() -> tuple[Room, int]:
        depth = broker.depths()[queues.RECONCILE]
        return room(depth, broker.memory(), marks), depth.pending

    while True:
        found, pending = await asyncio.to_thread(look)
        if found.messages >= min(_PORTIONS_AT_ONCE, marks.messages) and found.bytes:
            return
        if not said:
            said = True
            progress.note(f"Waiting: {found.reason}.")
        await patience.look(pending)
        await asyncio.sleep(_LOOK_AGAIN_S)
