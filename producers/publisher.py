"""Publisher: sends parcels in pipelined chunks, no faster than it may, and knows which ones really went."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from dramatiq import Message

from producers.back_pressure import NO_ROOM, HighWater, Room, room
from producers.packing import Parcel
from shared import queues
from shared.broker.depths import Depth, Memory
from shared.errors import QueueAway

_CHUNK_MESSAGES: Final = 100
_CHUNK_BYTES: Final = 2 * 1024 * 1024
_LOOK_AGAIN_S: Final = 0.05
_RETRY_S: Final = 1.0
#: With a rate limit, a chunk is what so many seconds allow.
_PACED_CHUNK_S: Final = 0.2


R = TypeVar("R")


class Queue(Protocol):
    """The part of the broker that publishing needs."""

    def enqueue_many(self, messages: Iterable[Message[Any]]) -> int: ...

    def begin_enqueue(self, messages: Iterable[Message[Any]]) -> Future[int]: ...

    def depths(self) -> Mapping[str, Depth]: ...

    def memory(self) -> Memory: ...


class StoppedError(Exception):
    """The user asked to stop."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why publishing waits, and since when on the monotonic clock; `for_workers` where only they can end it."""

    reason: str
    since_s: float
    for_workers: bool


@dataclass(frozen=True, slots=True)
class _Underway:
    """A chunk that is being sent."""

    chunk: Sequence[Parcel]
    answer: Future[int]
    after: Callable[[Sequence[Parcel]], None]


class Publisher:
    """Publishes for one backfill, in one thread; `waiting` may be read by others.

    While Redis takes in one chunk, the caller reads on, and tends to it now and then; the next chunk goes after the
    answer. A chunk that failed is sent again with the same message ids: whether Redis had taken it is unknown, and a
    message that is there twice counts once.
    """

    def __init__(
        self,
        queue: Queue,
        marks: HighWater,
        *,
        stop: threading.Event,
        give_up_after_s: float,
        rate_per_s: float | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waiting: Waiting | None = None
        self._queue = queue
        self._marks = marks
        self._stop = stop
        self._give_up_after_s = give_up_after_s
        self._rate_per_s = rate_per_s
        self._monotonic_s = monotonic_s
        self._room = NO_ROOM
        self._next_s = 0.0
        self._underway: _Underway | None = None

    def publish(
        self,
        parcels: Sequence[Parcel],
        *,
        before: Callable[[Sequence[Parcel]], None],
        after: Callable[[Sequence[Parcel]], None],
    ) -> None:
        """Send all parcels; the last chunk is still underway when this returns, and `finish` waits for it.

        `before` is called before a chunk is sent, and `after` once Redis has it for certain. Raises StoppedError when
        asked to stop, and QueueAway when Redis stays away for longer than the publisher may wait.
        """
        for chunk in self._chunks(parcels):
            self._await_room(chunk)
            self._await_turn(len(chunk))
            # Never two at once: a chunk that must be sent again is sent before those that follow it.
            self.finish()
            if self._stop.is_set():
                raise StoppedError
            before(chunk)
            self._underway = _Underway(chunk, self._queue.begin_enqueue(_messages(chunk)), after)

    def finish(self) -> None:
        """Wait until Redis has everything that was sent; raises as `publish`."""
        underway, self._underway = self._underway, None
        if underway is None:
            return
        try:
            underway.answer.result()
        except QueueAway as away:
            self._wait(str(away), _RETRY_S, for_workers=False)
            self._retried(lambda: self._queue.enqueue_many(_messages(underway.chunk)))
        self.waiting = None
        underway.after(underway.chunk)

    def tend(self) -> None:
        """See to a chunk that was answered, or failed, meanwhile; raises as `publish`.

        Whoever reads on for long without anything to publish calls this: a chunk that failed must not wait for it.
        """
        if self._underway is not None and self._underway.answer.done():
            self.finish()

    def _chunks(self, parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
        most = min(_CHUNK_MESSAGES, self._marks.messages)
        if self._rate_per_s is not None:
            most = max(1, min(most, int(self._rate_per_s * _PACED_CHUNK_S)))
        most_bytes = min(_CHUNK_BYTES, self._marks.bytes)
        chunk: list[Parcel] = []
        size_bytes = 0
        for parcel in parcels:
            if chunk and (len(chunk) == most or size_bytes + parcel.size_bytes > most_bytes):
                yield chunk
                chunk, size_bytes = [], 0
            chunk.append(parcel)
            size_bytes += parcel.size_bytes
        if chunk:
            yield chunk

    def _await_room(self, chunk: Sequence[Parcel]) -> None:
        size_bytes = sum(parcel.size_bytes for parcel in chunk)
        while not self._room.holds(len(chunk), size_bytes):
            self.finish()  # what is underway is not in the queue yet, and has to be counted
            depth, memory = self._retried(self._look)
            self._room = room(depth, memory, self._marks)
            if self._room.holds(len(chunk), size_bytes):
                break
            if depth.pending == 0 and self._room.messages:
                break  # one parcel above the mark by itself
            self._wait(self._room.reason, _LOOK_AGAIN_S, for_workers=depth.pending > 0)
        self.waiting = None
        self._room = Room(self._room.messages - len(chunk), self._room.bytes - size_bytes, self._room.reason)

    def _look(self) -> tuple[Depth, Memory]:
        return self._queue.depths()[queues.BACKFILL], self._queue.memory()

    def _await_turn(self, messages: int) -> None:
        if self._rate_per_s is None:
            return
        now_s = self._monotonic_s()
        start_s = max(now_s, self._next_s)
        self._next_s = start_s + messages / self._rate_per_s
        if start_s > now_s:
            self.finish()
            if self._stop.wait(max(0.0, start_s - self._monotonic_s())):
                raise StoppedError

    def _retried(self, call: Callable[[], R]) -> R:
        while True:
            try:
                return call()
            except QueueAway as away:
                self._wait(str(away), _RETRY_S, for_workers=False)

    def _wait(self, reason: str, pause_s: float, *, for_workers: bool) -> None:
        waiting = self.waiting
        now_s = self._monotonic_s()
        same = waiting is not None and waiting.for_workers == for_workers
        since_s = waiting.since_s if waiting is not None and same else now_s
        self.waiting = Waiting(reason, since_s, for_workers)
        if not for_workers and now_s - since_s > self._give_up_after_s:
            raise QueueAway(f"Gave up after {self._give_up_after_s:g} s: {reason}")
        if self._stop.wait(pause_s):
            raise StoppedError


def _messages(chunk: Sequence[Parcel]) -> list[Message[Any]]:
    return [parcel.message for parcel in chunk]
