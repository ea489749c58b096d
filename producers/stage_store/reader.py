"""Reading an output: the place that the phase prefers, then the other, and what is only in flight yet."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Final

from producers.dispatch import Dispatch
from producers.receipt import Token
from producers.stage_store.commits import Commits
from producers.stage_store.files import read_files
from producers.stage_store.in_flight import InFlightOutputs
from producers.stage_store.output import Source, StageOutput
from producers.stage_store.rows import read_rows
from shared.errors import (
    DatabaseAway,
    NotRestorable,
    OutputBusy,
    RunferryError,
    StageOutputNotFound,
    UsageError,
)
from shared.ids import RunId, Stage
from shared.settings import Phase

#: After PostgreSQL did not answer, reads that have another place do without it for so long.
_LEFT_ALONE_S: Final = 1.0

log = logging.getLogger(__name__)


class Reader:
    """Reads by the phase; `counters` counts each time that the preferred place could not answer."""

    def __init__(self, dispatch: Dispatch, commits: Commits | None, counters: Counter[str]) -> None:
        self._dispatch = dispatch
        self._settings = dispatch.settings
        self._commits = commits
        self._counters = counters
        self._in_flight = InFlightOutputs(dispatch)
        self._not_before_s = 0.0

    def read(
        self, run_id: RunId, stage: Stage, phase: Phase, token: Token | None, timeout_s: float
    ) -> StageOutput:
        """Return an output; raises as `StageStore.read`."""
        found = (
            self._files_first(run_id, stage, token)
            if phase in (Phase.FILES_ONLY, Phase.DUAL_WRITE)
            else self._rows_first(run_id, stage, token, phase)
        )
        if found is not None and _is_at_least(found, token):
            return found
        if token is not None:
            return self._awaited(run_id, stage, token, timeout_s, found)
        raise self._not_found(run_id, stage)

    def _files_first(self, run_id: RunId, stage: Stage, token: Token | None) -> StageOutput | None:
        newest = _newest(self._file(run_id, stage), self._in_flight.in_outbox(run_id, stage))
        if newest is not None or token is not None:
            return newest
        queued = self._in_flight.in_queue(run_id, stage)
        try:
            return _newest(queued, self._rows(run_id, stage, spare=queued is not None))
        except DatabaseAway as away:
            if queued is not None:
                return queued
            raise DatabaseAway(self._nowhere(run_id, stage, away)) from away

    def _rows_first(self, run_id: RunId, stage: Stage, token: Token | None, phase: Phase) -> StageOutput | None:
        # In this order: an output leaves outbox and queue only after it is in the rows.
        kept = self._in_flight.in_outbox(run_id, stage)
        queued = self._in_flight.in_queue(run_id, stage) if token is None else None
        trouble: RunferryError | None = None
        rows: StageOutput | None = None
        try:
            rows = self._rows(run_id, stage, spare=phase is Phase.DB_FIRST)
        except (DatabaseAway, NotRestorable) as error:
            trouble = error
        if phase is Phase.DB_FIRST or (rows is None and trouble is None):
            # In db-only a file may be of long ago: it counts only where the rows are known to have nothing.
            file = self._file(run_id, stage)
            if file is not None and (rows is None or file.produced_at > rows.produced_at):
                self._count_fallback(run_id, stage, trouble, found=rows is not None)
                rows = file
        # With a token, what is in flight is waited for: it may still turn out to be a dead letter.
        newest = _newest(rows, kept if token is None or self._commits is None else None, queued)
        if newest is None and trouble is not None:
            if kept is not None:
                return kept
            raise type(trouble)(self._nowhere(run_id, stage, trouble))
        return newest

    def _awaited(
        self,
        run_id: RunId,
        stage: Stage,
        token: Token,
        timeout_s: float,
        older: StageOutput | None,
    ) -> StageOutput:
        """Wait until the token's output is in the rows; it is in no place that can be read at once."""
        name = f"Stage {int(stage)} of {run_id}"
        if self._commits is None:
            raise StageOutputNotFound(
                f"{name} is not in {self._folder(run_id, stage)} as the token says, "
                "and the rows can't be looked at: DATABASE_URL is not set."
            )
        trouble = ""
        committed = False
        try:
            committed = self._commits.wait(token, timeout_s)
        except DatabaseAway as away:
            trouble = f" {away}"
        if committed:
            rows = self._rows(run_id, stage, spare=False)
            if rows is not None:
                return rows
        # PostgreSQL is away, or the workers are: another place may have it by now.
        for found in (
            self._in_flight.in_outbox(run_id, stage),
            self._in_flight.in_queue(run_id, stage),
            self._file(run_id, stage),
        ):
            if found is not None and _is_at_least(found, token):
                self._counters["reads_in_flight"] += 1
                return found
        if committed:
            raise self._not_found(run_id, stage)
        at = "" if older is None else f"; the latest is of {older.produced_at.isoformat()}"
        raise OutputBusy(f"{name} was not in the rows within {timeout_s:g} s{at}.{trouble}")

    def _file(self, run_id: RunId, stage: Stage) -> StageOutput | None:
        found = read_files(
            self._settings.root,
            run_id,
            stage,
            max_output_bytes=self._settings.max_output_bytes,
            patience_s=self._settings.emit_timeout.total_seconds(),
        )
        if found is None:
            return None
        return StageOutput(run_id, stage, found.documents, Source.FILES, found.produced_at)

    def _rows(self, run_id: RunId, stage: Stage, *, spare: bool) -> StageOutput | None:
        """Return what the rows hold; with `spare` there is another place, and PostgreSQL gets less time."""
        database = self._dispatch.database
        if database is None:
            return None
        if spare and time.monotonic() < self._not_before_s:
            raise DatabaseAway("PostgreSQL did not answer a moment ago.")
        patience = self._settings.emit_timeout if spare else self._settings.read_timeout
        try:
            found = database.run(lambda pool: read_rows(pool, run_id, stage), patience.total_seconds())
        except (DatabaseAway, UsageError) as error:
            self._not_before_s = time.monotonic() + _LEFT_ALONE_S
            raise DatabaseAway(str(error)) from error
        if found is None:
            return None
        return StageOutput(run_id, stage, found.documents, Source.ROWS, found.produced_at)

    def _count_fallback(self, run_id: RunId, stage: Stage, trouble: RunferryError | None, *, found: bool) -> None:
        self._counters["reads_of_newer_files" if found else "fallbacks_to_files"] += 1
        if trouble is not None:
            log.warning(
                "stage %d of %s was read from files: %s", int(stage), run_id, trouble, extra={"run_id": run_id}
            )

    def _not_found(self, run_id: RunId, stage: Stage) -> StageOutputNotFound:
        database = self._dispatch.database
        rows = (
            "the rows can't be looked at, since DATABASE_URL is not set"
            if database is None
            else f"not in the rows of {database.address}"
        )
        return StageOutputNotFound(
            f"Stage {int(stage)} of {run_id} has no output: not in the files of {self._folder(run_id, stage)}, "
            f"and {rows}."
        )

    def _nowhere(self, run_id: RunId, stage: Stage, trouble: RunferryError) -> str:
        return f"{trouble} The files in {self._folder(run_id, stage)} don't have it, or an older one."

    def _folder(self, run_id: RunId, stage: Stage) -> str:
        return str(self._settings.root / run_id / f"stage{int(stage)}")


def _is_at_least(output: StageOutput, token: Token | None) -> bool:
    return token is None or output.produced_at >= token.produced_at


def _newest(*outputs: StageOutput | None) -> StageOutput | None:
    """Return the one that was produced last, of equals the first."""
    newest: StageOutput | None = None
    for output in outputs:
        if output is not None and (newest is None or output.produced_at > newest.produced_at):
            newest = output
    return newest
