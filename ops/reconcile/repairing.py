"""Repairing: what is missing or stale goes through the queue again, as it is on disk now. No row is written here.

Each output carries the ledger's state that was seen: the writer applies it only if that still holds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg

from ops.reconcile.patience import Patience
from ops.reconcile.queries import QUERIES
from ops.reconcile.tally import named_in
from producers.back_pressure import HighWater
from producers.identity import publisher_name
from producers.packing import PackedOutput, Parcel, Sender, pack, parcels, wire_moment
from producers.publisher import Publisher
from producers.spill import SpilledList
from shared.broker.broker import RunferryBroker
from shared.contract import Origin, Prefer
from shared.ids import RunId
from shared.reconciling.slices import Named
from shared.reconciling.verdicts import MEANINGS, Repair, Standing
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import Settings

_RUNS_AT_ONCE: Final = 50
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.5


class Repairer:
    """Sends outputs for repair in one batch, and waits until each came to its end."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        broker: RunferryBroker,
        root: Path,
        settings: Settings,
        patience: Patience,
        give_up_after_s: float,
    ) -> None:
        self._connection = connection
        self._scanner = Scanner(root, Limits(0.0, settings.max_output_bytes))
        self._max_message_bytes = settings.max_message_bytes
        self._patience = patience
        self._publisher = Publisher(
            broker, HighWater.of(settings), stop=threading.Event(), give_up_after_s=give_up_after_s
        )
        self._batch_id = f"repair-{uuid4()}"
        self._messages = 0
        self.outputs = 0

    async def send(self, standing: Standing, items: SpilledList) -> None:
        """Publish the outputs that stand so, as far as they are on disk as they were judged."""
        for portion in _portions(named_in(items)):
            ready = await asyncio.to_thread(self._ready, standing, portion)
            await asyncio.to_thread(self._publish, ready)

    def _publish(self, ready: Sequence[Parcel]) -> None:
        self._publisher.publish(ready, before=_nothing, after=self._sent)
        self._publisher.finish()

    async def until_handled(self) -> None:
        """Wait until every message came to its end; raises UsageError where nobody works on them."""
        pause_s = _FIRST_PAUSE_S
        seen = 0
        while True:
            handled: int = await self._connection.fetchval(QUERIES["handled"], self._batch_id)
            if handled >= self._messages:
                return
            if handled > seen:
                seen, pause_s = handled, _FIRST_PAUSE_S
                self._patience.rest()
            await self._patience.look(self._messages - handled)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    def _ready(self, standing: Standing, portion: Sequence[tuple[RunId, list[Named]]]) -> list[Parcel]:
        return list(self._parcels(standing, portion))

    def _parcels(self, standing: Standing, portion: Sequence[tuple[RunId, list[Named]]]) -> Iterator[Parcel]:
        wanted = dict(portion)
        for run in self._scanner.named(wanted):
            by_stage = {named.stage: named for named in wanted[run.run_id]}
            packed = [
                _expecting(pack(output), by_stage[output.stage.value])
                for output in run.outputs
                if output.stage.value in by_stage
            ]
            fresh = [
                output for output in packed if output.content_sha256 == by_stage[output.stage.value].content_sha256
            ]
            for prefer, outputs in _by_preference(standing, fresh, by_stage):
                sender = Sender(self._batch_id, publisher_name(), prefer=prefer, origin=Origin.REPAIR)
                yield from parcels(
                    sender, run.run_id, outputs, run.stages_at_source, max_message_bytes=self._max_message_bytes
                )

    def _sent(self, sent: Sequence[Parcel]) -> None:
        self._messages += len(sent)
        self.outputs += sum(len(parcel.slip.hashes) for parcel in sent)


def _portions(items: Iterator[Named]) -> Iterator[list[tuple[RunId, list[Named]]]]:
    """Yield some runs at a time, each with its outputs: what is named of a run stands together."""
    by_run = ((run_id, list(named)) for run_id, named in groupby(items, key=lambda named: named.run_id))
    while portion := list(islice(by_run, _RUNS_AT_ONCE)):
        yield portion


def _by_preference(
    standing: Standing, outputs: Sequence[PackedOutput], named: dict[int, Named]
) -> Iterator[tuple[Prefer | None, list[PackedOutput]]]:
    """Files are preferred only where a person named the verdict, and never over rows that the ledger doesn't know."""
    by_name = MEANINGS[standing].repair is Repair.NAMED
    for prefers in (True, False):
        some = [
            output
            for output in outputs
            if prefers is (by_name and not _adopts(standing, named[output.stage.value]))
        ]
        if some:
            yield (Prefer.FILES if prefers else None), some


def _adopts(standing: Standing, named: Named) -> bool:
    return standing is Standing.LEDGER_WRONG and named.applied_sha256 is None


def _expecting(packed: PackedOutput, named: Named) -> PackedOutput:
    expects: dict[str, Any] = {}
    # A deleted run begins anew: by then the ledger knows nothing of it.
    if named.applied_sha256 is not None and named.verdict is not Standing.DELETED:
        expects["content_sha256"] = named.applied_sha256
        if named.applied_produced_at is not None:
            expects["produced_at"] = wire_moment(datetime.fromisoformat(named.applied_produced_at))
    return replace(packed, body={**packed.body, "expects": expects})


def _nothing(_: Sequence[Parcel]) -> None:
    """Nobody follows single messages: the batch is counted."""
