"""Emitter: what a pipeline stage calls to send its output to the rows.

    from producers import Emitter

    emitter = Emitter()                       # REDIS_URL and RUNFERRY_…; nothing is connected yet
    emitter.emit("run-1", 2, {"trends.json": text})

It needs Redis only, holds its caller no longer than `RUNFERRY_EMIT_TIMEOUT`, and never starts embedded services.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar
from uuid import uuid4

import redis
from dramatiq import Message

from producers.identity import publisher_name
from shared import queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.contract import Hints, Origin, OutputBody, RunFailed, RunStarted, StageOutputsMessage, to_wire
from shared.documents import Document, Sha256, in_natural_order
from shared.errors import Malformed, QueueAway, SettingsError
from shared.ids import RunId, Stage, parse_run_id
from shared.reasons import Reason
from shared.settings import Phase, Settings

#: What a stage wrote: documents, or their contents by name; text is encoded as UTF-8.
Documents = Mapping[str, str | bytes] | Iterable[Document]

#: A stamp, the sending, and one more try of either: together they stay within the emit time-out.
_CALLS: Final = 3
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

    Methods raise QueueAway where Redis can't be reached or doesn't answer in time (the message may still arrive
    later; sending it again is harmless), and Malformed for a run id that is no folder name or an output above the
    size limit. Raises SettingsError where REDIS_URL is not set.
    """

    def __init__(self, settings: Settings | None = None, *, publisher: str | None = None) -> None:
        self._settings = settings or Settings.from_environment()
        self._publisher = publisher or publisher_name()
        self._batch_id = f"emit-{uuid4()}"
        self._broker = None if self._settings.phase is Phase.FILES_ONLY else _live_broker(self._settings)

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
        content = _as_documents(documents)
        _check_size(content, self._settings.max_output_bytes)
        broker = self._broker
        if broker is None:
            return Emitted(None)
        attempt = _Attempts(self._settings.emit_timeout.total_seconds())
        moment = produced_at or attempt(partial(broker.stamp, parsed, number))
        body = OutputBody.of(number, content, moment)
        message = StageOutputsMessage(
            run_id=parsed,
            publisher=self._publisher,
            published_at=moment,
            origin=Origin.PIPELINE,
            batch_id=self._batch_id,
            wants_receipt=wants_receipt,
            outputs=(body,),
            hints=hints,
        )
        message_id = _send(broker, to_wire(message), attempt)
        return Emitted(message_id, moment, Sha256(body.content_sha256))

    def run_started(self, run_id: str, *, hints: Hints = _NO_HINTS) -> Emitted:
        """Say that a pipeline began to work on a run."""
        parsed = parse_run_id(run_id)
        return self._event(
            parsed,
            lambda moment: RunStarted(
                run_id=parsed,
                publisher=self._publisher,
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
                publisher=self._publisher,
                published_at=moment,
                occurred_at=moment,
                error=error,
                hints=hints,
            ),
        )

    def close(self) -> None:
        """Close the connections; the emitter opens them again when it is used again."""
        if self._broker is not None:
            self._broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _event(self, run_id: RunId, event: Callable[[datetime], RunStarted | RunFailed]) -> Emitted:
        broker = self._broker
        if broker is None:
            return Emitted(None)
        attempt = _Attempts(self._settings.emit_timeout.total_seconds())
        moment = attempt(partial(broker.stamp, run_id, 0))
        return Emitted(_send(broker, to_wire(event(moment)), attempt), moment)


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


class _Attempts:
    """Calls Redis, and once more where the first try failed and time is left: a pooled connection may be stale."""

    def __init__(self, timeout_s: float) -> None:
        self._last_start_s = time.monotonic() + timeout_s * (_CALLS - 1) / _CALLS

    def __call__(self, function: Callable[[], R]) -> R:
        try:
            return _call(function)
        except QueueAway:
            if time.monotonic() > self._last_start_s:
                raise
            # No retry after this one: only the first failure of an emit has time left for another call.
            self._last_start_s = 0.0
            return _call(function)


def _call(function: Callable[[], R]) -> R:
    try:
        return function()
    except redis.RedisError as error:
        raise QueueAway(f"Redis refuses the message: {error}") from error


def _live_broker(settings: Settings) -> RunferryBroker:
    if settings.redis_url is None:
        raise SettingsError(
            "REDIS_URL is not set: an emitter needs the Redis of the workers, and never starts one itself."
        )
    return make_broker(settings.redis_url.get_secret_value(), settings, patience=settings.emit_timeout / _CALLS)


def _send(broker: RunferryBroker, wire: dict[str, Any], attempt: _Attempts) -> str:
    message: Message[Any] = Message(
        queue_name=queues.LIVE, actor_name=queues.WRITE_LIVE, args=(), kwargs={"message": wire}, options={}
    )
    attempt(lambda: broker.enqueue(message))
    return message.message_id


def _as_documents(documents: Documents) -> tuple[Document, ...]:
    if isinstance(documents, Mapping):
        documents = (
            Document(name, content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
            for name, content in documents.items()
        )
    return in_natural_order(documents)


def _check_size(documents: tuple[Document, ...], max_bytes: int) -> None:
    if not documents:
        raise Malformed(Reason.NO_DOCUMENTS, "The output has no documents, so there is nothing to send.")
    size = sum(len(document.content) for document in documents)
    if size > max_bytes:
        raise Malformed(
            Reason.TOO_LARGE,
            f"The output has {size:,} bytes; the limit is {max_bytes:,} (RUNFERRY_MAX_OUTPUT_BYTES).",
        )
