"""Receipts: what a stage is given for its output, and a token by which others can wait for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.documents import Sha256
from shared.errors import Malformed, UsageError
from shared.ids import RunId, Stage, parse_run_id

_VERSION: Final = "rf1"
_PARTS: Final = 7
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Token:
    """One written output, as text that can be handed to another process or host.

    `batch_id` and `message_id` are empty where nothing was published.
    """

    run_id: RunId
    stage: Stage
    produced_at: datetime
    content_sha256: Sha256
    batch_id: str = ""
    message_id: str = ""

    def __str__(self) -> str:
        microseconds = (self.produced_at - _EPOCH) // _MICROSECOND
        parts = (_VERSION, int(self.stage), microseconds, self.content_sha256, self.batch_id, self.message_id)
        return ":".join(map(str, (*parts, self.run_id)))

    @classmethod
    def parse(cls, text: str) -> Token:
        """Return the token in `text`; raises UsageError where it is none."""
        parts = text.split(":", _PARTS - 1)
        try:
            version, stage, microseconds, sha256, batch_id, message_id, run_id = parts
            if version != _VERSION:
                raise ValueError(version)
            produced_at = _EPOCH + int(microseconds) * _MICROSECOND
            return cls(parse_run_id(run_id), Stage(int(stage)), produced_at, Sha256(sha256), batch_id, message_id)
        except (ValueError, OverflowError, Malformed):
            raise UsageError(f"{text[:80]!r} is no token of a stage output.") from None


class CommitState(StrEnum):
    """What is known of an output's way into the rows."""

    COMMITTED = "committed"  # it, or a later output of its run and stage, is in the rows
    NOT_YET = "not_yet"  # the time was over
    UNKNOWN = "unknown"  # this process can't know: no access to PostgreSQL, or nothing was published


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a written output, and where it is now."""

    token: Token
    in_files: bool
    in_outbox: bool
    published: bool
    _wait: Callable[[Token, float], CommitState] = field(repr=False, compare=False)

    def committed(self, timeout: float = 10.0) -> CommitState:
        """Wait up to `timeout` seconds until the output, or a later one, is in the rows.

        Raises OutputDeadLettered at once where it can't become rows.
        """
        if not (self.published or self.in_outbox):
            return CommitState.UNKNOWN
        return self._wait(self.token, timeout)
