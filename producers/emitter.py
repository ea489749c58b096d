"""Emitter: what a pipeline stage calls to send its output to the rows.

    from producers import Emitter

    emitter = Emitter()                       # REDIS_URL and RUNFERRY_…; nothing is connected yet
    emitter.emit("run-1", 2, {"trends.json": text})

It needs Redis only, holds its caller no longer than `RUNFERRY_EMIT_TIMEOUT`, and never starts embedded services.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from producers.dispatch import Dispatch
from shared.contract import Hints, RunFailed, RunStarted
from shared.documents import Document, Sha256, in_natural_order
from shared.errors import Malformed
from shared.ids import RunId, Stage, parse_run_id
from shared.reasons import Reason
from shared.settings import Phase, Settings

#: What a stage wrote: documents, or their contents by name; text is encoded as UTF-8.
Documents = Mapping[str, str | bytes] | Iterable[Document]

_THREADS: Final = 4
_NO_HINTS: Final = Hints()

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Emitted:
    """What became of an emit; `message_id` is None where the phase is files-only and so nothing was published."""

    message_id: str | None
    produced_at: datetime | None = None
    content_sha256: Sha256 | None = None

    @property
    def published(self) -> bool:
        """Whether a message is on its way."""
        return self.message_id is not None


class Emitter:
    """Sends stage outputs and run events to the live queue; may be shared by threads.

    It obeys the phase: in files-only nothing is published; in db-only an output is durable in the outbox of this disk
    before `emit` returns, and sent from there whenever Redis is back. In the other phases methods raise QueueAway
    where Redis can't be reached or doesn't answer in time (the message may still arrive later; sending it again is
    harmless). They raise Malformed for a run id that is no folder name or an output above the size limit, OutboxFull
    and OSError where the outbox takes no more. Raises SettingsError where REDIS_URL is not set.
    """

    def __init__(self, settings: Settings | None = None, *, publisher: str | None = None) -> None:
        self._dispatch = Dispatch(settings or Settings.from_environment(), role="emitter", publisher=publisher)
        # Emitters that nobody closed must not leave their threads behind.
        weakref.finalize(self, self._dispatch.close).atexit = False

    def emit(
        self,
        run_id: str,
        stage: int,
        documents: Documents,
        *,
        produced_at: datetime | None = None,
        hints: Hints = _NO_HINTS,
        wants_receipt: bool = False,
    ) -> Emitted:
        """Send one stage's output; `produced_at` (UTC) is now by Redis' clock unless it is given."""
        parsed = parse_run_id(run_id)
        number = Stage(stage)
        dispatch = self._dispatch
        content = as_documents(documents)
        check_size(content, dispatch.settings.max_output_bytes)
        attempt = dispatch.attempts()
        phase = dispatch.phase()
        if phase is Phase.FILES_ONLY:
            return Emitted(None)
        keeps = dispatch.keeps(phase)
        if produced_at is not None:
            moment = produced_at
        elif keeps:
            newest = dispatch.outbox.newest_name(parsed, number)
            moment = dispatch.moment(parsed, number, attempt, after=newest.produced_at if newest else None)
        else:
            moment = dispatch.stamp(parsed, number, attempt)
        contract = dispatch.message_of(parsed, number, content, moment, hints=hints, wants_receipt=wants_receipt)
        if keeps:
            message = dispatch.keep(contract)
            dispatch.send_kept(message, attempt)
        else:
            message = dispatch.send_now(contract, attempt)
        return Emitted(message.message_id, moment, Sha256(contract.outputs[0].content_sha256))

    def run_started(self, run_id: str, *, hints: Hints = _NO_HINTS) -> Emitted:
        """Say that a pipeline began to work on a run."""
        parsed = parse_run_id(run_id)
        return self._event(
            parsed,
            lambda moment: RunStarted(
                run_id=parsed,
                publisher=self._dispatch.publisher,
                published_at=moment,
                occurred_at=moment,
                hints=hints,
            ),
        )

    def run_failed(self, run_id: str, error: str, *, hints: Hints = _NO_HINTS) -> Emitted:
        """Say that a pipeline gave up on a run, and why."""
        parsed = parse_run_id(run_id)
        return self._event(
            parsed,
            lambda moment: RunFailed(
                run_id=parsed,
                publisher=self._dispatch.publisher,
                published_at=moment,
                occurred_at=moment,
                error=error,
                hints=hints,
            ),
        )

    def close(self) -> None:
        """Close the connections; the emitter opens them again when it is used again."""
        self._dispatch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _event(self, run_id: RunId, event: Callable[[datetime], RunStarted | RunFailed]) -> Emitted:
        attempt = self._dispatch.attempts()
        if self._dispatch.phase() is Phase.FILES_ONLY:
            return Emitted(None)
        message, moment = self._dispatch.event(run_id, attempt, event)
        return Emitted(message.message_id, moment)


class AsyncEmitter:
    """The emitter for asyncio: the same methods, awaited; the event loop is never held."""

    def __init__(self, settings: Settings | None = None, *, publisher: str | None = None) -> None:
        self._emitter = Emitter(settings, publisher=publisher)
        # Threads of its own: a pipeline may keep all of the loop's default ones busy for minutes.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="runferry-emit")

    async def emit(
        self,
        run_id: str,
        stage: int,
        documents: Documents,
        *,
        produced_at: datetime | None = None,
        hints: Hints = _NO_HINTS,
        wants_receipt: bool = False,
    ) -> Emitted:
        """Send one stage's output, as `Emitter.emit`."""
        return await self._aside(
            self._emitter.emit,
            run_id,
            stage,
            documents,
            produced_at=produced_at,
            hints=hints,
            wants_receipt=wants_receipt,
        )

    async def run_started(self, run_id: str, *, hints: Hints = _NO_HINTS) -> Emitted:
        """Say that a pipeline began to work on a run."""
        return await self._aside(self._emitter.run_started, run_id, hints=hints)

    async def run_failed(self, run_id: str, error: str, *, hints: Hints = _NO_HINTS) -> Emitted:
        """Say that a pipeline gave up on a run, and why."""
        return await self._aside(self._emitter.run_failed, run_id, error, hints=hints)

    async def close(self) -> None:
        """Close the connections and end the threads."""
        await self._aside(self._emitter.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _aside(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))


def as_documents(documents: Documents) -> tuple[Document, ...]:
    """Return what a stage wrote as documents in natural order."""
    if isinstance(documents, Mapping):
        documents = (
            Document(name, content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
            for name, content in documents.items()
        )
    return in_natural_order(documents)


def check_size(documents: tuple[Document, ...], max_bytes: int) -> None:
    """Raise Malformed for an output without documents, or above the size limit."""
    if not documents:
        raise Malformed(Reason.NO_DOCUMENTS, "The output has no documents, so there is nothing to send.")
    size = sum(len(document.content) for document in documents)
    if size > max_bytes:
        raise Malformed(
            Reason.TOO_LARGE,
            f"The output has {size:,} bytes; the limit is {max_bytes:,} (RUNFERRY_MAX_OUTPUT_BYTES).",
        )
