"""The reconciler: answers one slice, by what this worker itself sees on disk, in the queue and in the rows.

Whatever is no match is observed once more, files, queue and rows, before it is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from shared.broker.broker import RunferryBroker
from shared.broker.handback import HandBack
from shared.database import create_pool
from shared.database_url import DatabaseAddress
from shared.dead_letters.storable import storable_json
from shared.documents import Sha256, content_sha256
from shared.errors import RetryableError, RunferryError
from shared.ids import RunId, Stage
from shared.reconciling.slices import Answer, Named, Slice
from shared.reconciling.verdicts import Standing
from shared.run_folders.listing import signature_of
from shared.run_folders.scanned import ScannedOutput
from shared.settings import Settings
from workers.loop_thread import LoopThread
from workers.reconciling.held import QUERIES, RunHeld, read_held
from workers.reconciling.judging import Judgement
from workers.reconciling.keeping import letters_that_give_back
from workers.reconciling.observer import Found, Observer
from workers.world import Fault, fault_of

_WORLD_PAUSE_MS: Final = 2_000

log = structlog.get_logger(__name__)


class Reconciler:
    """Answers slices for one worker process, one at a time; connects only when the first one comes."""

    def __init__(self, address: DatabaseAddress, broker: RunferryBroker, settings: Settings, worker: str) -> None:
        self._address = address
        self._broker = broker
        self._settings = settings
        self._worker = worker
        # Reading and judging is computing: two slices at once would fight for the interpreter, and take a quarter more.
        # One thread for all of them, because malloc keeps for each thread what a slice once took of memory.
        self._thread = LoopThread("reconciler", self._close)
        self._turn = asyncio.Lock()
        self._pool: asyncpg.Pool | None = None

    def start(self) -> None:
        """Start the reconciler's thread."""
        self._thread.start()

    def stop(self, timeout: timedelta) -> None:
        """End the thread, within `timeout` or not at all; a slice that is not answered yet goes back to the queue."""
        self._thread.stop(timeout)

    def reconcile(self, wire: Mapping[str, Any]) -> None:
        """Answer one slice; returns once the answer is committed. Raises HandBack where the world is broken."""
        try:
            self._thread.run(self._reconcile(wire)).result()
        except CancelledError:
            raise HandBack from None
        except Exception as error:
            if fault_of(error)[0] in (Fault.WORLD, Fault.RACE):
                raise HandBack(_WORLD_PAUSE_MS, str(error)) from error
            raise

    async def _reconcile(self, wire: Mapping[str, Any]) -> None:
        report_id, number = int(wire["report_id"]), int(wire["number"])
        async with self._turn, (await self._open_pool()).acquire() as connection:
            if not await connection.fetchval(QUERIES["is_awaited"], report_id):
                return  # its command gave up; a report that is closed takes no answers
            try:
                answer = await self._answer(connection, Slice.from_wire(wire))
            except RetryableError:
                raise
            except (RunferryError, ValueError, KeyError) as error:
                answer = Answer(error=f"{type(error).__name__}: {error}")
            except Exception as error:
                if fault_of(error)[0] is not Fault.UNKNOWN:
                    raise
                log.exception("a slice could not be judged", report_id=report_id, slice=number)
                answer = Answer(error=f"{type(error).__name__}: {error}")
            text = storable_json(answer.to_json())
            await connection.execute(QUERIES["answer"], report_id, number, self._worker, text)

    async def _open_pool(self) -> asyncpg.Pool:
        """Return a pool of one connection at most, which asyncpg closes where no slice comes for minutes."""
        if self._pool is None:
            self._pool = await create_pool(
                self._address, self._settings.model_copy(update={"pool_min_size": 0, "pool_max_size": 1})
            )
        return self._pool

    async def _close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def _answer(self, connection: asyncpg.Connection, question: Slice) -> Answer:
        root = self._root(question)
        if root is None:
            return Answer(
                error=f"It sees no run folders in {question.root}, nor in its own root {self._settings.root}."
            )
        observer = Observer(root, self._settings, self._broker, partial(read_held, connection))
        found = await observer.observe(question.runs)
        doubtful = [run_id for run_id, stages in found.items() if any(_is_doubtful(j) for _, j in stages.values())]
        doubtful += [run_id for run_id, listed in question.runs.items() if listed.keys() - found[run_id].keys()]
        if doubtful:
            found |= await observer.observe(dict.fromkeys(doubtful))
            observer.leave_what_is_unsettled(found, doubtful, question.settle_s)
            await _ask_letters(connection, found, doubtful, observer.held)
        return _answer_of(question, found, observer.held)

    def _root(self, question: Slice) -> Path | None:
        """Return the folder where this worker sees the runs; a mount may have another path on each host."""
        for root in (Path(question.root), self._settings.root):
            if any((root / run_id).is_dir() for run_id in question.runs):
                return root
        return None


async def _ask_letters(
    connection: asyncpg.Connection,
    found: dict[RunId, Found],
    run_ids: Iterable[RunId],
    held: Mapping[RunId, RunHeld],
) -> None:
    """Take back that an output is only on disk where its dead letter holds the same documents."""
    letters: dict[int, tuple[RunId, Stage, Sha256]] = {}
    for run_id in run_ids:
        for stage, (output, judgement) in found[run_id].items():
            if output is not None and judgement.only_on_disk:
                sha256 = content_sha256(output.documents)
                mark = held[run_id].stages[stage].letters.get(sha256)
                if mark is not None:
                    letters[mark.id] = run_id, stage, sha256
    if not letters:
        return
    keys = await letters_that_give_back(connection, list(letters))
    for run_id, stage, _ in keys & set(letters.values()):
        output, judgement = found[run_id][stage]
        found[run_id][stage] = output, replace(judgement, only_on_disk=False)


def _is_doubtful(judgement: Judgement) -> bool:
    return judgement.standing is not Standing.MATCH


def _answer_of(question: Slice, found: Mapping[RunId, Found], held: Mapping[RunId, RunHeld]) -> Answer:
    standings: dict[RunId, dict[Stage, Standing]] = {}
    named: list[Named] = []
    otherwise: list[tuple[RunId, Stage, str]] = []
    for run_id, listed in question.runs.items():
        standings[run_id] = {}
        for stage, signature in listed.items():
            if stage not in found[run_id]:
                otherwise.append((run_id, stage, ""))
                continue
            output, judgement = found[run_id][stage]
            standings[run_id][stage] = judgement.standing
            if output is not None and signature_of(output) != signature:
                otherwise.append((run_id, stage, signature_of(output)))
            if judgement.standing is not Standing.MATCH:
                named.append(_named(run_id, stage, output, judgement, held[run_id]))
        named.extend(_without_files(run_id, found[run_id], held[run_id]))
    return Answer(standings, tuple(named), tuple(otherwise))


def _without_files(run_id: RunId, found: Found, held: RunHeld) -> Iterable[Named]:
    """Give the applied outputs that have no file, as far as the run's folder can be seen at all."""
    if held.run is None or not found:
        return
    for stage, stage_held in held.stages.items():
        entry = stage_held.entry
        if stage not in found and entry is not None and entry.content_sha256:
            yield Named(run_id, stage.value, Standing.ROW_WITHOUT_FILES, detail=f"Sent by {entry.origin.value}.")


def _named(
    run_id: RunId, stage: Stage, output: ScannedOutput | None, judgement: Judgement, held: RunHeld
) -> Named:
    named = Named(
        run_id,
        stage.value,
        judgement.standing,
        judgement.fields,
        judgement.detail,
        judgement.letter_id,
        content_sha256=None if output is None else content_sha256(output.documents),
        only_on_disk=judgement.only_on_disk,
    )
    entry = held.stages[stage].entry
    if entry is None:
        return named
    return replace(named, applied_sha256=entry.content_sha256, applied_produced_at=entry.produced_at.isoformat())
