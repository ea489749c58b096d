"""Dead messages: what lies in Dramatiq's dead queues until a sweep has filed it elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.broker.delivery import Undecodable, read_message
from shared.broker.evidence import Evidence
from shared.broker.in_flight import NONE, IndexEntries, entries_of
from shared.broker.scripts import Scripts, as_text

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A dead message: its bytes as they were sent, and why it died; no evidence where another client buried it."""

    queue: str
    redis_message_id: str
    died_at: datetime
    data: bytes
    evidence: Evidence | None

    @property
    def entries(self) -> IndexEntries:
        """What the message added to the in-flight index."""
        try:
            return entries_of(read_message(self.data, self.queue).kwargs)
        except Undecodable:
            return NONE


def read_dead(scripts: Scripts, queue: str, *, offset: int, limit: int) -> list[DeadMessage]:
    """Return dead messages of a queue, oldest first."""
    reply: list[bytes] = scripts.run("dead", queue, offset, limit)
    return [
        DeadMessage(queue, as_text(message_id), _EPOCH + timedelta(milliseconds=int(died)), data, _read(evidence))
        for message_id, died, data, evidence in zip(*(reply[i::4] for i in range(4)), strict=True)
    ]


def forget_dead(scripts: Scripts, queue: str, dead: Iterable[DeadMessage]) -> int:
    """Remove dead messages that are kept elsewhere now, and return how many there were."""
    arguments: list[str | int] = []
    for message in dead:
        arguments += [message.redis_message_id, *message.entries.arguments()]
    return int(scripts.run("unbury", queue, *arguments)) if arguments else 0


def _read(evidence: bytes) -> Evidence | None:
    try:
        return Evidence.from_json(evidence) if evidence else None
    except (ValueError, KeyError, TypeError):
        return None
