"""Sending: letters become messages, without ever being neither dead nor queued, and never twice in the queue at once.

One transaction a portion: the letters are locked, those that are in the queue already are left out, the rest is
marked as being replayed and enqueued, and then the transaction ends. Killed before the end, a letter is as it was,
and perhaps in the queue as well; the worker that takes it waits for the lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import asyncpg

from ops.dlq.messages import Replay, Unreplayable
from ops.dlq.queries import QUERIES
from ops.dlq.summary import iso
from shared.broker.in_flight import InFlight
from shared.contract import StageOutputsMessage
from shared.dead_letters.letter import FiledLetter
from shared.dead_letters.reading import filed_letter
from shared.dead_letters.storable import storable_json

_OWN: Final = "replaying"


class Queue(Protocol):
    """The part of the broker that sending needs."""

    def enqueue_many(self, messages: Sequence[Any]) -> int: ...

    def in_flight_many(self, run_ids: Sequence[str]) -> Mapping[str, frozenset[InFlight]]: ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a portion. `followed` counts the messages whose deliveries will tell their end."""

    sent: tuple[int, ...] = ()
    followed: int = 0
    in_flight: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    unreplayable: tuple[tuple[int, str], ...] = ()


@dataclass(slots=True)
class _Portion:
    replays: list[Replay] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    unreplayable: list[tuple[int, str]] = field(default_factory=list)


async def send(
    connection: asyncpg.Connection,
    queue: Queue,
    ids: Sequence[int],
    make: Callable[[FiledLetter], Replay],
    line: Callable[[Replay], Mapping[str, Any]],
) -> Sent:
    """Replay letters; `make` makes the message of one or raises Unreplayable, `line` what its history keeps of it."""
    async with connection.transaction():
        rows = await connection.fetch(QUERIES["lock_waiting"], list(ids))
        letters = [filed_letter(row) for row in rows]
        portion = _Portion()
        in_flight = await asyncio.to_thread(queue.in_flight_many, sorted({one.letter.run_id for one in letters}))
        for filed in letters:
            _add(portion, filed, make, in_flight.get(filed.letter.run_id, frozenset()))
        await _claim(connection, portion.replays, line)
        if portion.replays:
            await asyncio.to_thread(queue.enqueue_many, [replay.message for replay in portion.replays])
    locked = {filed.id for filed in letters}
    return Sent(
        sent=tuple(replay.letter_id for replay in portion.replays),
        followed=sum(isinstance(replay.contract, StageOutputsMessage) for replay in portion.replays),
        in_flight=tuple(portion.in_flight),
        gone=tuple(letter_id for letter_id in ids if letter_id not in locked),
        unreplayable=tuple(portion.unreplayable),
    )


def _add(
    portion: _Portion,
    filed: FiledLetter,
    make: Callable[[FiledLetter], Replay],
    in_flight: frozenset[InFlight],
) -> None:
    hashes = {filed.letter.content_sha256, *(str(entry["as"]) for entry in filed.history if entry.get("as"))}
    if any(found.stage == filed.letter.stage and found.content_sha256 in hashes for found in in_flight):
        portion.in_flight.append(filed.id)
        return
    try:
        portion.replays.append(make(filed))
    except Unreplayable as reason:
        portion.unreplayable.append((filed.id, str(reason)))


async def _claim(
    connection: asyncpg.Connection, replays: Sequence[Replay], line: Callable[[Replay], Mapping[str, Any]]
) -> None:
    if not replays:
        return
    at = iso(await connection.fetchval("SELECT now()"))
    lines = [storable_json({"at": at, "what": _OWN, **line(replay)}) for replay in replays]
    await connection.execute(QUERIES["claim"], [replay.letter_id for replay in replays], lines)
    events = [replay.letter_id for replay in replays if not replay.outputs]
    if events:
        await connection.execute(QUERIES["hand_over"], events)
