"""The reconciler: answers one slice, by what this worker itself sees on disk, in the queue and in the rows.

Observation goes files, in-flight index, rows: an output that moves on meanwhile is seen at least once on its way.
Whatever is no match is observed once more, all three, before it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from shared.broker.broker import RunferryBroker
from shared.broker.handback import HandBack
from shared.dead_letters.storable import storable_json
from shared.documents import Sha256, content_sha256
from shared.errors import Malformed, RetryableError, RunferryError
from shared.ids import RunId, Stage
from shared.mapping import map_output
from shared.reconciling.slices import Answer, Named, Slice
from shared.reconciling.verdicts import Standing, is_accounted, is_fault
from shared.rows import MappedOutput
from shared.run_folders.listing import signature_of
from shared.run_folders.scanned import ScannedOutput, ScannedRun
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import Settings
from workers.pause import Stopping
from workers.reconciling.held import QUERIES, RunHeld, read_held
from workers.reconciling.judging import Judgement, OutputOnDisk, judge, judge_run
from workers.reconciling.keeping import gives_back, letters_that_give_back
from workers.world import Fault, fault_of
from workers.writer import Writer

_WORLD_PAUSE_MS: Final = 2_000

log = structlog.get_logger(__name__)

#: What was found about one run: its outputs with their judgements, and the held state that they were judged by.
Found = dict[Stage, tuple[ScannedOutput | None, Judgement]]


class Reconciler:
    """Answers slices for one worker process."""

    def __init__(self, writer: Writer, broker: RunferryBroker, settings: Settings, worker: str) -> None:
        self._writer = writer
        self._broker = broker
        self._settings = settings
        self._worker = worker
        # Reading and judging is computing: two slices at once would fight for the interpreter, and take a quarter more.
        # One thread for all of them, because malloc keeps for each thread what a slice once took of memory.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reconciler")

    def reconcile(self, wire: Mapping[str, Any]) -> None:
        """Answer one slice; returns once the answer is committed. Raises HandBack where the world is broken."""
        try:
            self._thread.submit(copy_context().run, self._reconcile, wire).result()
        except (Stopping, CancelledError):
            raise HandBack from None
        except Exception as error:
            if fault_of(error)[0] in (Fault.WORLD, Fault.RACE):
                raise HandBack(_WORLD_PAUSE_MS, str(error)) from error
            raise

    def _reconcile(self, wire: Mapping[str, Any]) -> None:
        report_id, number = int(wire["report_id"]), int(wire["number"])
        awaited = self._writer.run(
            lambda connection: connection.fetchval(QUERIES["is_awaited"], report_id)
        ).result()
        if not awaited:
            return  # its command gave up; a report that is closed takes no answers
        try:
            answer = self._answer(Slice.from_wire(wire))
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
        self._writer.run(
            lambda connection: connection.execute(QUERIES["answer"], report_id, number, self._worker, text)
        ).result()

    def _answer(self, question: Slice) -> Answer:
        root = self._root(question)
        if root is None:
            return Answer(
                error=f"It sees no run folders in {question.root}, nor in its own root {self._settings.root}."
            )
        observer = Observer(root, self._settings, self._broker, self._read)
        found = observer.observe(question.runs)
        doubtful = [run_id for run_id, stages in found.items() if any(_is_doubtful(j) for _, j in stages.values())]
        doubtful += [run_id for run_id, listed in question.runs.items() if listed.keys() - found[run_id].keys()]
        if doubtful:
            found |= observer.observe(dict.fromkeys(doubtful))
            observer.leave_what_is_unsettled(found, doubtful, question.settle_s)
            self._ask_letters(found, doubtful, observer.held)
        return _answer_of(question, found, observer.held)

    def _ask_letters(
        self, found: dict[RunId, Found], run_ids: Iterable[RunId], held: Mapping[RunId, RunHeld]
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
        keys = self._writer.run(lambda connection: letters_that_give_back(connection, list(letters))).result()
        for run_id, stage, _ in keys & set(letters.values()):
            output, judgement = found[run_id][stage]
            found[run_id][stage] = output, replace(judgement, only_on_disk=False)

    def _root(self, question: Slice) -> Path | None:
        """Return the folder where this worker sees the runs; a mount may have another path on each host."""
        for root in (Path(question.root), self._settings.root):
            if any((root / run_id).is_dir() for run_id in question.runs):
                return root
        return None

    def _read(self, run_ids: list[RunId]) -> dict[RunId, RunHeld]:
        def read(connection: asyncpg.Connection) -> Any:
            return read_held(connection, run_ids)

        held: dict[RunId, RunHeld] = self._writer.run(read).result()
        return held


class Observer:
    """Observes runs below one root; `held` keeps what the last observation of each run read from the rows."""

    def __init__(
        self,
        root: Path,
        settings: Settings,
        broker: RunferryBroker,
        read: Callable[[list[RunId]], dict[RunId, RunHeld]],
    ) -> None:
        self.held: dict[RunId, RunHeld] = {}
        self._root = root
        self._max_bytes = settings.max_output_bytes
        self._broker = broker
        self._read = read

    def observe(self, run_ids: Iterable[RunId]) -> dict[RunId, Found]:
        """Return what stands where, of each run; a run that is not there has nothing."""
        names = list(run_ids)
        # Settling is asked only of what looks like a fault: an old match and a fresh one are both matches.
        scanned = {run.run_id: run for run in Scanner(self._root, Limits(0.0, self._max_bytes)).named(names)}
        on_disk = {run_id: [_mapped(run_id, output) for output in scanned[run_id].outputs] for run_id in names}
        flying = self._broker.in_flight_many(names)
        held = self._read(names)
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
