"""The stage store.

    from producers import StageStore

    store = StageStore()                      # the environment's settings; nothing is connected yet
    receipt = store.write("run-1", 2, {"trends.json": text})
    trends = store.read("run-1", 2).json("trends.json")

What it does depends on the phase in force: see docs/move-your-pipeline.md.
"""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from dramatiq import Message

from producers.dispatch import Dispatch
from producers.emitter import Documents, as_documents, check_size
from producers.live_queue import Attempts
from producers.receipt import CommitState, Receipt, Token
from producers.stage_store.commits import Commits
from producers.stage_store.files import newest_time
from producers.stage_store.output import StageOutput
from producers.stage_store.reader import Reader
from producers.stage_store.replacing import replace_output, stage_folder_to_write
from shared.contract import Hints, RunFailed, RunStarted, StageOutputsMessage
from shared.documents import Document, Sha256, name_fault
from shared.errors import DatabaseAway, UsageError
from shared.ids import RunId, Stage, parse_run_id
from shared.printable import NAME_CHARACTERS
from shared.run_folders.stage_folder import is_document
from shared.settings import Phase, Settings

_NO_HINTS: Final = Hints()

log = logging.getLogger(__name__)


class StageStore:
    """Reads and writes stage outputs by the phase in force; may be shared by threads.

    While files are written, no failure of queue or database reaches the caller, or holds it longer than
    RUNFERRY_EMIT_TIMEOUT. Raises SettingsError where REDIS_URL is not set, unless the phase is files-only.
    """

    def __init__(self, settings: Settings | None = None, *, publisher: str | None = None) -> None:
        dispatch = Dispatch(settings or Settings.from_environment(), role="stage store", publisher=publisher)
        self._dispatch = dispatch
        self._settings = dispatch.settings
        self._counters: Counter[str] = Counter()
        self._commits = None if dispatch.database is None else Commits(dispatch.database)
        self._reader = Reader(dispatch, self._commits, self._counters)
        weakref.finalize(self, dispatch.close).atexit = False

    @property
    def phase(self) -> Phase:
        """The phase in force."""
        return self._dispatch.phase()

    def write(
        self,
        run_id: str,
        stage: int,
        documents: Documents,
        *,
        hints: Hints = _NO_HINTS,
        wants_receipt: bool | None = None,
    ) -> Receipt:
        """Write one stage's output; all of its documents appear together, in place of those before.

        With `wants_receipt` the commit is notified, so that waiting for it is quick; by default where rows are read
        first. Raises OSError where the disk doesn't take it, OutboxFull in db-only, OutputBusy where another writer
        of the same output doesn't come to its end, Malformed for what is no output at all: then it is not written.
        """
        parsed, number = parse_run_id(run_id), Stage(stage)
        content = as_documents(documents)
        _check_names(content)
        check_size(content, self._settings.max_output_bytes)
        attempt = self._dispatch.attempts()
        phase = self._dispatch.phase()
        rows_first = phase in (Phase.DB_FIRST, Phase.DB_ONLY)
        moment = self._moment(parsed, number, None if phase is Phase.FILES_ONLY else attempt)
        contract = self._dispatch.message_of(
            parsed,
            number,
            content,
            moment,
            hints=hints,
            wants_receipt=rows_first if wants_receipt is None else wants_receipt,
        )
        if phase is Phase.DB_ONLY:
            message = self._dispatch.keep(contract)
            sent = self._dispatch.send_kept(message, attempt)
            return self._receipt(contract, message, in_files=False, in_outbox=True, published=sent)
        replace_output(stage_folder_to_write(self._settings.root, parsed, number), content, moment)
        if phase is Phase.FILES_ONLY:
            return self._receipt(contract, None, in_files=True, in_outbox=False, published=False)
        return self._publish(contract, attempt, through_outbox=self._dispatch.keeps(phase))

    def read(
        self,
        run_id: str,
        stage: int,
        *,
        at_least: str | Token | None = None,
        timeout: float | None = None,
    ) -> StageOutput:
        """Return one stage's output, from the place that the phase prefers, else from the other.

        `at_least` is the token of a receipt: that output or a later one is returned, after at most `timeout` seconds
        (RUNFERRY_READ_TIMEOUT by default). Raises StageOutputNotFound, naming both places; OutputDeadLettered at
        once where the token's output can't become rows; OutputBusy where the time is over; DatabaseAway where only
        the rows could have it and PostgreSQL doesn't answer; NotRestorable where only the rows have it, and somebody
        changed them so that its documents can't be told any more.
        """
        parsed, number = parse_run_id(run_id), Stage(stage)
        token = Token.parse(at_least) if isinstance(at_least, str) else at_least
        if token is not None and (token.run_id, token.stage) != (parsed, number):
            raise UsageError(f"The token is of stage {int(token.stage)} of {token.run_id}.")
        timeout_s = self._settings.read_timeout.total_seconds() if timeout is None else timeout
        return self._reader.read(parsed, number, self._dispatch.phase(), token, timeout_s)

    def committed(self, token: str | Token, timeout: float = 10.0) -> CommitState:
        """Wait for the output of a token that was handed on, as `Receipt.committed`."""
        return self._wait(Token.parse(token) if isinstance(token, str) else token, timeout)

    def run_started(self, run_id: str, *, hints: Hints = _NO_HINTS) -> bool:
        """Say that a pipeline began to work on a run; returns whether it was published."""
        parsed = parse_run_id(run_id)
        publisher = self._dispatch.publisher
        return self._event(
            parsed,
            lambda moment: RunStarted(
                run_id=parsed, publisher=publisher, published_at=moment, occurred_at=moment, hints=hints
            ),
        )

    def run_failed(self, run_id: str, error: str, *, hints: Hints = _NO_HINTS) -> bool:
        """Say that a pipeline gave up on a run, and why; returns whether it was published."""
        parsed = parse_run_id(run_id)
        publisher = self._dispatch.publisher
        return self._event(
            parsed,
            lambda moment: RunFailed(
                run_id=parsed,
                publisher=publisher,
                published_at=moment,
                occurred_at=moment,
                error=error,
                hints=hints,
            ),
        )

    def counters(self) -> Mapping[str, int]:
        """Return how often something was not as it should be: `unpublished`, `fallbacks_to_files`, and the like."""
        return dict(self._counters)

    def close(self) -> None:
        """Close the connections; the store opens them again when it is used again."""
        self._dispatch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _moment(self, run_id: RunId, stage: Stage, attempt: Attempts | None) -> datetime:
        """Return a time that is later than that of any output of the run and stage that this disk knows of."""
        kept = self._dispatch.outbox.newest_name(run_id, stage)
        known = [newest_time(self._settings.root, run_id, stage), kept.produced_at if kept else None]
        after = max((moment for moment in known if moment is not None), default=None)
        return self._dispatch.moment(run_id, stage, attempt, after=after)

    def _publish(self, contract: StageOutputsMessage, attempt: Attempts, *, through_outbox: bool) -> Receipt:
        """Publish an output that is in files already: nothing that fails here is the stage's concern."""
        kept: Message[Any] | None = None
        message: Message[Any] | None = None
        sent = False
        try:
            if through_outbox:
                kept = self._dispatch.keep(contract)
        except Exception as error:
            self._tell_unpublished(contract, error, "the outbox did not take it")
        try:
            if kept is not None:
                message, sent = kept, self._dispatch.send_kept(kept, attempt)
            else:
                message = self._dispatch.send_now(contract, attempt)
                sent = True
        except Exception as error:
            self._tell_unpublished(contract, error, "the queue did not take it")
        return self._receipt(contract, message, in_files=True, in_outbox=kept is not None, published=sent)

    def _tell_unpublished(self, contract: StageOutputsMessage, error: Exception, what: str) -> None:
        self._counters["unpublished"] += 1
        log.warning(
            "stage %d of %s is in files only, and the reconciler will find it: %s: %s",
            int(contract.outputs[0].stage),
            contract.run_id,
            what,
            error or type(error).__name__,
            extra={"run_id": contract.run_id},
        )

    def _receipt(
        self,
        contract: StageOutputsMessage,
        message: Message[Any] | None,
        *,
        in_files: bool,
        in_outbox: bool,
        published: bool,
    ) -> Receipt:
        output = contract.outputs[0]
        token = Token(
            RunId(contract.run_id),
            output.stage,
            output.produced_at,
            Sha256(output.content_sha256),
            contract.batch_id if message is not None else "",
            message.message_id if message is not None else "",
        )
        return Receipt(token, in_files, in_outbox, published, self._wait)

    def _wait(self, token: Token, timeout_s: float) -> CommitState:
        if self._commits is None:
            return CommitState.UNKNOWN
        try:
            return CommitState.COMMITTED if self._commits.wait(token, timeout_s) else CommitState.NOT_YET
        except DatabaseAway as away:
            ids = {"run_id": token.run_id, "message_id": token.message_id}
            log.warning("can't know of the commit: %s", away, extra=ids)
            return CommitState.UNKNOWN

    def _event(self, run_id: RunId, event: Callable[[datetime], RunStarted | RunFailed]) -> bool:
        attempt = self._dispatch.attempts()
        if self._dispatch.phase() is Phase.FILES_ONLY:
            return False
        try:
            self._dispatch.event(run_id, attempt, event)
        except Exception as error:
            self._counters["unpublished_events"] += 1
            log.warning("a run event was not published: %s", error, extra={"run_id": run_id})
            return False
        return True


def _check_names(documents: tuple[Document, ...]) -> None:
    seen: set[str] = set()
    for document in documents:
        name = document.name
        fault = name_fault(name)
        if fault is not None or not is_document(name):
            raise UsageError(
                f"{name[:NAME_CHARACTERS]!r} is no document's name{': ' + fault if fault else ''}. Outputs hold "
                ".json and .md files that are not hidden."
            )
        if name in seen:
            raise UsageError(f"{name!r} is given twice: an output has each name once.")
        seen.add(name)
