"""The observer: sees where outputs stand, by files, the in-flight index and the rows of some runs.

It looks in that order: an output that moves on meanwhile is seen at least once on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from shared.broker.broker import RunferryBroker
from shared.documents import content_sha256
from shared.errors import Malformed
from shared.ids import RunId, Stage
from shared.mapping import map_output
from shared.reconciling.verdicts import Standing, is_accounted, is_fault
from shared.rows import MappedOutput
from shared.run_folders.scanned import ScannedOutput, ScannedRun
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import Settings
from workers.reconciling.held import RunHeld
from workers.reconciling.judging import Judgement, OutputOnDisk, judge, judge_run
from workers.reconciling.keeping import gives_back

T = TypeVar("T")

#: What was found about one run: its outputs with their judgements, and the held state that they were judged by.
Found = dict[Stage, tuple[ScannedOutput | None, Judgement]]


class Observer:
    """Observes runs below one root; `held` keeps what the last observation of each run read from the rows."""

    def __init__(
        self,
        root: Path,
        settings: Settings,
        broker: RunferryBroker,
        read: Callable[[list[RunId]], Coroutine[Any, Any, dict[RunId, RunHeld]]],
    ) -> None:
        self.held: dict[RunId, RunHeld] = {}
        self._root = root
        self._max_bytes = settings.max_output_bytes
        self._broker = broker
        self._read = read

    async def observe(self, run_ids: Iterable[RunId]) -> dict[RunId, Found]:
        """Return what stands where, of each run; a run that is not there has nothing."""
        names = list(run_ids)
        # Settling is asked only of what looks like a fault: an old match and a fresh one are both matches.
        scanned = {run.run_id: run for run in Scanner(self._root, Limits(0.0, self._max_bytes)).named(names)}
        flying = self._broker.in_flight_many(names)
        on_disk: dict[RunId, list[OutputOnDisk]] = {}
        async with _underway(self._read(names)) as reading:
            for run_id in names:
                # PostgreSQL works while we do: this sends it the next question, and takes what is ready of the rows.
                await asyncio.sleep(0)
                on_disk[run_id] = [_mapped(run_id, output) for output in scanned[run_id].outputs]
            held = await reading
        self.held |= held
        found: dict[RunId, Found] = {}
        for run_id in names:
            in_flight = {(flight.stage, flight.content_sha256) for flight in flying[run_id]}
            judged: Found = _unread(scanned[run_id])
            for scanned_output, output in zip(scanned[run_id].outputs, on_disk[run_id], strict=True):
                is_flying = (output.stage.value, output.content_sha256) in in_flight
                judgement = judge(output, held[run_id], in_flight=is_flying)
                if judgement.standing is not Standing.MATCH and is_accounted(judgement.standing):
                    judgement = replace(judgement, only_on_disk=not gives_back(output, held[run_id]))
                judged[output.stage] = scanned_output, judgement
            found[run_id] = _with_run(judged, held[run_id])
        return found

    def leave_what_is_unsettled(
        self, found: dict[RunId, Found], run_ids: Iterable[RunId], settle_s: float
    ) -> None:
        """Put off the faults of outputs that may still be written: their message may not have been sent yet."""
        faulty = [run_id for run_id in run_ids if any(is_fault(j.standing) for _, j in found[run_id].values())]
        for run in Scanner(self._root, Limits(settle_s, self._max_bytes)).named(faulty):
            for part in run.unsettled:
                output, judgement = found[run.run_id].get(part.stage, (None, None))
                if judgement is not None and is_fault(judgement.standing):
                    found[run.run_id][part.stage] = output, Judgement(Standing.UNSETTLED, detail=part.reason)


@asynccontextmanager
async def _underway(coroutine: Coroutine[Any, Any, T]) -> AsyncIterator[Awaitable[T]]:
    """Have a coroutine run besides the body, and wait for its end, however the body ends."""
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        # Not cancelled: PostgreSQL may hear of that late, and cancel the next statement of this connection.
        await asyncio.gather(task, return_exceptions=True)


def _mapped(run_id: RunId, output: ScannedOutput) -> OutputOnDisk:
    mapped: MappedOutput | Malformed
    try:
        mapped = map_output(run_id, output.stage, output.documents)
    except Malformed as malformed:
        mapped = malformed
    sha256 = content_sha256(output.documents)
    return OutputOnDisk(output.stage, sha256, output.produced_at, output.documents, mapped)


def _unread(run: ScannedRun) -> Found:
    found: Found = {}
    for part in run.unsettled:
        found[part.stage] = None, Judgement(Standing.UNSETTLED, detail=part.reason)
    for fault in run.faults:
        if fault.stage is not None:
            found[fault.stage] = None, Judgement(Standing.UNREADABLE, detail=fault.reason)
    return found


def _with_run(judged: Found, held: RunHeld) -> Found:
    """Name columns of the "Run" row that were changed with the run's first output, where that is else a match."""
    first = min(judged, default=None)
    if first is not None and judged[first][1].standing is Standing.MATCH:
        judgement = judge_run(held)
        if judgement.standing is not Standing.MATCH:
            judged[first] = judged[first][0], judgement
    return judged
