"""Replaying: all selected letters, a portion at a time, no faster than asked and than the queue has room for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import asyncpg

from ops.dlq.following import Follower, Outcomes, Watched
from ops.dlq.messages import Batch, Replay, Unreplayable, fault_of, replay_of
from ops.dlq.progress import ReplayProgress
from ops.dlq.rereading import reread
from ops.dlq.selection import Selection
from ops.dlq.sending import Queue, Sent, send
from ops.dlq.streaming import portions, read_whole
from producers.back_pressure import HighWater, room
from producers.spill import SpilledList
from shared import queues
from shared.broker.depths import Depth, Memory
from shared.counting import word_for
from shared.dead_letters.letter import FiledLetter
from shared.dead_letters.reading import filed_letter
from shared.settings import Settings

_PORTION_LETTERS: Final = 100
_LOOK_AGAIN_S: Final = 0.1
#: With a rate limit, a portion is what so many seconds allow.
_PACED_PORTION_S: Final = 0.5
#: Named in the result; of more, the number tells.
_MAX_NAMED: Final = 1_000


class Broker(Queue, Watched, Protocol):
    """The part of the broker that a replay needs."""

    def memory(self) -> Memory: ...


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How to replay. `root` is where to read documents again, None to send what the letters hold."""

    root: Path | None = None
    rate_per_s: float | None = None
    canary: int = 0
    wait: bool = False
    worker_timeout_s: float = 60.0
    run_workers: int | None = None

    @property
    def follows(self) -> bool:
        """Whether the end of the first or of all messages is waited for."""
        return self.wait or self.canary > 0


@dataclass(slots=True)
class ReplayResult:
    """What a replay did. `stopped` says why it did not go on after the canary."""

    replayed: int = 0
    followed: int = 0
    in_flight: list[int] = field(default_factory=list)
    unreplayable: SpilledList = field(default_factory=SpilledList)
    outcomes: Outcomes | None = None
    not_committed: Mapping[str, list[int]] = field(default_factory=dict)
    stopped: str | None = None

    @property
    def pending(self) -> int:
        """Messages of which nothing was heard yet."""
        return self.followed - (self.outcomes.handled if self.outcomes else 0)

    def add(self, sent: Sent) -> None:
        """Count a portion."""
        self.replayed += len(sent.sent)
        self.followed += sent.followed
        self.in_flight.extend(sent.in_flight[: _MAX_NAMED - len(self.in_flight)])
        for letter_id, reason in sent.unreplayable:
            self.unreplayable.append({"id": letter_id, "reason": reason})

    def close(self) -> None:
        """Give back what the list takes."""
        self.unreplayable.close()


class _HeldUpError(Exception):
    """Nothing more can be sent; the text says why."""


@dataclass(slots=True)
class Replayer:
    """Replays a selection in one batch."""

    connection: asyncpg.Connection
    broker: Broker
    batch: Batch
    options: ReplayOptions
    settings: Settings
    progress: ReplayProgress
    who: str
    result: ReplayResult
    follower: Follower = field(init=False)

    def __post_init__(self) -> None:
        self.follower = Follower(
            self.connection,
            self.broker,
            self.batch.batch_id,
            worker_timeout_s=self.options.worker_timeout_s,
            own_workers=self.options.run_workers is not None,
            say=self.progress.note,
        )

    async def run(self, selection: Selection) -> None:
        """Replay all selected letters; what was done stands in `result`, also when it is interrupted."""
        try:
            await self._send_all(selection)
        except _HeldUpError as held_up:
            self.result.stopped = str(held_up)
        if self.options.follows and self.result.stopped is None:
            self.result.outcomes = await self.follower.until(self.result.followed, self._followed)
        if self.result.outcomes is not None:
            self.result.not_committed = await self.follower.not_committed()

    async def _send_all(self, selection: Selection) -> None:
        next_s = time.monotonic()
        canary = self.options.canary
        async for portion in portions(self.connection, selection, self._portion_letters()):
            ids = portion
            if canary:
                ids, rest = portion[:canary], portion[canary:]
                await self._send(ids)
                canary -= len(ids)
                if canary == 0 and not await self._canary_lives():
                    return
                ids = rest
            if self.options.rate_per_s is not None:
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))
                next_s = max(next_s, time.monotonic()) + len(portion) / self.options.rate_per_s
            if ids:
                await self._send(ids)

    async def _send(self, ids: Sequence[int]) -> None:
        await self._await_room(len(ids))
        sent = await send(self.connection, self.broker, ids, self._make, self._line)
        self.result.add(sent)
        self.progress.update(self.result.replayed, "sent")

    async def _canary_lives(self) -> bool:
        """Say whether the first messages became rows; a portion that could not be sent is no evidence."""
        count = self.result.followed
        first = f"the first {word_for(count, 'letter', f'{count:,} letters')}"
        self.progress.note(f"Waiting for {first}.")
        outcomes = await self.follower.until(self.result.followed, self._followed)
        self.result.outcomes = outcomes
        if outcomes.failed:
            self.result.stopped = (
                f"{word_for(count, first, f'{outcomes.failed:,} of {first}')} did not become rows"
            )
        elif outcomes.handled < self.result.followed:
            self.result.stopped = f"{first} {word_for(count, 'is', 'are')} not through"
        elif not self.result.followed:
            self.result.stopped = "none of the first letters could be sent"
        return self.result.stopped is None

    async def _await_room(self, messages: int) -> None:
        marks = HighWater.of(self.settings)
        said = False
        while True:
            depth, memory = await asyncio.to_thread(self._look)
            found = room(depth, memory, marks)
            if found.messages >= min(messages, marks.messages) and found.bytes:
                return
            if not said:
                said = True
                self.progress.note(f"Waiting: {found.reason}.")
            if await self.follower.gives_up(depth.pending):
                raise _HeldUpError("the queue has no room, and nobody works on it")
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _look(self) -> tuple[Depth, Memory]:
        return self.broker.depths()[queues.BACKFILL], self.broker.memory()

    def _make(self, filed: FiledLetter) -> Replay:
        return make_replay(filed, self.batch, self.options.root, self.settings.max_output_bytes)

    def _line(self, replay: Replay) -> Mapping[str, Any]:
        line = {"who": self.who, "batch_id": self.batch.batch_id}
        return line if replay.copy_sha256 is None else {**line, "what": "reread", "as": replay.copy_sha256}

    def _followed(self, outcomes: Outcomes) -> None:
        self.progress.update(outcomes.handled, "handled")

    def _portion_letters(self) -> int:
        if self.options.rate_per_s is None:
            return min(_PORTION_LETTERS, self.settings.high_water_messages)
        return max(1, min(_PORTION_LETTERS, int(self.options.rate_per_s * _PACED_PORTION_S)))


def make_replay(filed: FiledLetter, batch: Batch, root: Path | None, max_output_bytes: int) -> Replay:
    """Return the message that replays a letter, from disk where `root` is given; raises Unreplayable."""
    copy = None if root is None else reread(filed, root, max_output_bytes)
    return replay_of(filed, batch, copy)


@dataclass(slots=True)
class DryRun:
    """What a replay would do: letters by id, and those that would fail with the reason."""

    would_pass: SpilledList = field(default_factory=SpilledList)
    would_fail: SpilledList = field(default_factory=SpilledList)

    def close(self) -> None:
        """Give back what the lists take."""
        self.would_pass.close()
        self.would_fail.close()


async def dry_run(
    connection: asyncpg.Connection,
    selection: Selection,
    batch: Batch,
    root: Path | None,
    max_output_bytes: int,
    found: DryRun,
) -> None:
    """Judge the selected letters by today's code, and add them to `found`; nothing is sent or changed."""
    async for portion in portions(connection, selection):
        for row in await read_whole(connection, portion):
            filed = filed_letter(row)
            try:
                fault = fault_of(make_replay(filed, batch, root, max_output_bytes), max_output_bytes)
            except Unreplayable as reason:
                found.would_fail.append(
                    {"id": filed.id, "reason": filed.letter.evidence.reason, "sentence": str(reason)}
                )
                continue
            if fault is None:
                found.would_pass.append(filed.id)
            else:
                found.would_fail.append({"id": filed.id, "reason": fault.reason.value, "sentence": fault.sentence})
