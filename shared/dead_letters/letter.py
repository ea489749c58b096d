"""The dead letter: an output that can't become rows, with its original bytes and all evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.documents import Sha256
from shared.errors import Place
from shared.ids import RunId


class LetterState(StrEnum):
    """Where a letter stands. Only `open` and `replaying` wait for somebody."""

    OPEN = "open"
    REPLAYING = "replaying"  # a replay was claimed, and perhaps queued
    RESOLVED = "resolved"  # a later output of its run and stage, or itself, is in the rows
    MENDED = "mended"  # an output that mends it is in the rows
    DISCARDED = "discarded"  # a person gave it up, with a reason

    @property
    def waits(self) -> bool:
        """True where the letter still wants to be looked at."""
        return self in (LetterState.OPEN, LetterState.REPLAYING)


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Which worker process judged the output."""

    host: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why an output could not become rows; bounded in size.

    `reason` is the code of a `Reason`; as text, because a letter may come from a newer version that knows more.
    """

    reason: str
    sentence: str
    place: Place = field(default_factory=Place)
    error_class: str = ""
    error_text: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the output came: its message, its tries, and when it failed first and last (UTC)."""

    batch_id: str
    message_id: str
    queue: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What is filed. Its identity is run, stage and content hash.

    `run_id` is '' and `stage` 0 where a message did not say. `payload` is the output's body as JSON, or the bytes
    as they came. `origin` is who sent the output *first*; `envelope` is the message without its outputs,
    as it came, and beside them the hash that the output mends, as "mends".
    """

    run_id: RunId
    stage: int
    content_sha256: Sha256
    evidence: Evidence
    fingerprint: str
    worker: WorkerIdentity
    delivery: Delivery
    origin: str
    produced_at: datetime | None
    envelope: Mapping[str, Any]
    payload: bytes

    @property
    def identity(self) -> tuple[RunId, int, Sha256]:
        """What makes two letters the same."""
        return self.run_id, self.stage, self.content_sha256

    @property
    def mends(self) -> Sha256 | None:
        """The hash of the letter that this output was to mend."""
        return self.envelope.get("mends")


@dataclass(frozen=True, slots=True)
class FiledLetter:
    """A letter as it stands in `runferry.dead_letter`; `history` is oldest first."""

    id: int
    state: LetterState
    letter: DeadLetter
    died_at: datetime
    seen: int
    replays: int
    history: tuple[Mapping[str, Any], ...]
    closed_at: datetime | None
