"""Feed: reads the runs and hands them on in batches; what is unsettled comes back when it has settled.

It runs in a thread of its own. Memory is bounded: a batch by its bytes, and what waits to settle by its number.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from producers.publisher import StoppedError
from producers.tally import Tally
from shared.ids import RunId, Stage
from shared.run_folders.scanned import ScannedOutput, ScannedRun, Unsettled
from shared.run_folders.scanner import Scanner

_BATCH_RUNS: Final = 100
_BATCH_BYTES: Final = 4 * 1024 * 1024
#: Runs that wait to settle at once: in a tree that was just copied all would.
_MOST_DEFERRED: Final = 500
_DEFERRED_LONGEST_S: Final = 60.0
_DEFERRED_SETTLES: Final = 6


@dataclass(frozen=True, slots=True)
class RunOutputs:
    """Outputs of one run that are to be handed on; `stages_at_source` are all that the run has on disk."""

    run_id: RunId
    outputs: tuple[ScannedOutput, ...]
    stages_at_source: tuple[Stage, ...]


class Sink(Protocol):
    """Where the feed hands its batches to."""

    def take(self, batch: Sequence[RunOutputs]) -> None:
        """Publish the batch, or look at it; raises StoppedError when the user asked to stop."""

    def tend(self) -> None:
        """See to what is underway, without waiting for it unless it failed; raises as `take`."""

    def finish(self) -> None:
        """Wait until all that was taken is really published; raises as `take`."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which runs are read: the named ones or, without names, all; and how many at most."""

    run_ids: tuple[str, ...] = ()
    limit: int | None = None


@dataclass(slots=True)
class _Deferred:
    run_id: RunId
    unsettled: tuple[Unsettled, ...]
    stages_at_source: tuple[Stage, ...]
    give_up_at_s: float

    @property
    def ready_at_s(self) -> float:
        return max(part.ready_at_s for part in self.unsettled)


class Feed:
    """Feeds one sink from one scanner."""

    def __init__(
        self,
        scanner: Scanner,
        selection: Selection,
        sink: Sink,
        tally: Tally,
        *,
        stop: threading.Event,
        awaits_settling: bool,
        settle_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scanner = scanner
        self._selection = selection
        self._sink = sink
        self._tally = tally
        self._stop = stop
        self._awaits_settling = awaits_settling
        self._longest_s = max(_DEFERRED_LONGEST_S, _DEFERRED_SETTLES * settle_s)
        self._monotonic_s = monotonic_s
        self._batch: list[RunOutputs] = []
        self._batch_bytes = 0
        self._deferred: deque[_Deferred] = deque()
        self.settling: int = 0  # runs that wait to settle, for whoever shows progress

    def run(self) -> None:
        """Read everything; raises StoppedError when the user asked to stop, and what the sink raises."""
        try:
            self._read_all()
            self._sink.finish()
        except StoppedError:
            self._sink.finish()  # what was sent must be counted as such
            raise
        finally:
            for deferred in self._deferred:
                self._tally.left_out(deferred.run_id, deferred.unsettled)

    def _read_all(self) -> None:
        for run in self._runs():
            if self._stop.is_set():
                raise StoppedError
            self._sink.tend()
            self._tally.scanned(run)
            self._add(RunOutputs(run.run_id, run.outputs, run.stages_at_source))
            self._defer(run.run_id, run.unsettled, run.stages_at_source, self._monotonic_s() + self._longest_s)
            self._revisit(most_left=_MOST_DEFERRED)
        self._revisit(most_left=0)
        self._flush()

    def _runs(self) -> Iterable[ScannedRun]:
        named = self._selection.run_ids
        runs = self._scanner.named(named) if named else self._scanner.runs()
        return islice((run for run in runs if run.alias_of is None or self._pass_by(run)), self._selection.limit)

    def _pass_by(self, run: ScannedRun) -> bool:
        """Count a link to another run, which is no run of its own and takes nothing of the limit."""
        self._tally.scanned(run)
        return False

    def _defer(
        self,
        run_id: RunId,
        unsettled: tuple[Unsettled, ...],
        stages_at_source: tuple[Stage, ...],
        give_up_at_s: float,
    ) -> None:
        if not unsettled:
            return
        if not self._awaits_settling or self._monotonic_s() >= give_up_at_s:
            self._tally.left_out(run_id, unsettled)
            return
        self._deferred.append(_Deferred(run_id, unsettled, stages_at_source, give_up_at_s))
        self.settling = len(self._deferred)

    def _revisit(self, *, most_left: int) -> None:
        """Read again what is due, and wait for it only while more than `most_left` runs are deferred."""
        while self._deferred:
            pause_s = self._deferred[0].ready_at_s - self._monotonic_s()
            if pause_s > 0:
                if len(self._deferred) <= most_left:
                    return
                self._flush()
                self._sink.finish()
                if self._stop.wait(pause_s):
                    raise StoppedError
            deferred = self._deferred.popleft()
            self.settling = len(self._deferred)
            run = self._scanner.again(deferred.run_id, deferred.unsettled)
            self._tally.reread(run, len(deferred.unsettled))
            self._add(RunOutputs(run.run_id, run.outputs, deferred.stages_at_source))
            self._defer(run.run_id, run.unsettled, deferred.stages_at_source, deferred.give_up_at_s)

    def _add(self, run: RunOutputs) -> None:
        if not run.outputs:
            return
        self._batch.append(run)
        self._batch_bytes += sum([len(doc.content) for output in run.outputs for doc in output.documents])
        if len(self._batch) >= _BATCH_RUNS or self._batch_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            self._sink.take(batch)
