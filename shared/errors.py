"""The error tree.

RunferryError
├── UsageError              the caller's mistake or a world that can't be used: a sentence, exit status 2
│   ├── SettingsError       a setting that is missing, half-set or malformed
│   ├── SchemaError         a database whose structure is not what runferry needs
│   └── ServicesError       embedded services that can't be started or stopped
├── RetryableError          the world is broken: wait, never bury the message
│   ├── DatabaseAway        PostgreSQL can't be reached or can't work now
│   ├── QueueAway           Redis can't be reached or can't take more now
│   ├── OutputBusy          an output can't be written or read now: others write it, or it is not committed yet
│   └── OutboxFull          the outbox has reached its limit
├── FatalError              the data is broken: dead-letter it with its evidence, never retry
│   └── Malformed           an output, a message or a run id that can't become rows
├── StageOutputNotFound     an output is in none of the places where its phase keeps it
├── OutputDeadLettered      an output that was waited for can't become rows
└── NotRestorable           rows that no longer hold the documents which became them
"""

from __future__ import annotations

from shared.frozen import frozen
from shared.reasons import Reason


class RunferryError(Exception):
    """Base of all errors that runferry raises on purpose."""


class UsageError(RunferryError):
    """A mistake that the user can mend; its text says what happened and what to do next."""


class SettingsError(UsageError):
    """A setting is missing, contradicts another, or can't be read."""


class SchemaError(UsageError):
    """The database's structure is not what this version of runferry needs."""


class ServicesError(UsageError):
    """The embedded services can't be started, reached or stopped."""


class RetryableError(RunferryError):
    """The world is broken; the same message will pass once the world is whole."""


class DatabaseAway(RetryableError):  # noqa: N818 - a state of the world, not a mistake
    """PostgreSQL can't be reached, or can't work at the moment."""


class QueueAway(RetryableError):  # noqa: N818 - a state of the world, not a mistake
    """Redis can't be reached, or can't take more at the moment."""


class OutputBusy(RetryableError):  # noqa: N818 - a state of the world, not a mistake
    """Others are writing an output, or it is not committed yet."""


class OutboxFull(RetryableError):  # noqa: N818 - a state of the world, not a mistake
    """The outbox on this disk holds as many bytes as it may; the output was not taken."""


class FatalError(RunferryError):
    """The data is broken; trying again can't help."""


@frozen
class Place:
    """Where in an output the fault is; lines and columns count from 1, and what is unknown is None."""

    document: str | None = None
    line: int | None = None
    column: int | None = None
    section: str | None = None


class Malformed(FatalError):  # noqa: N818 - the field's own word for it
    """An output, a message or a run id that can't become rows, with exactly one reason and its place."""

    def __init__(self, reason: Reason, sentence: str, place: Place | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.place = place or Place()


class StageOutputNotFound(RunferryError):  # noqa: N818 - a state of the stores, not a mistake
    """Neither the files nor the rows have the output; the text names the places that were looked at."""


class OutputDeadLettered(RunferryError):  # noqa: N818 - the field's own word for it
    """An output became a dead letter; `letter_id` is None where the letter was removed meanwhile."""

    def __init__(self, sentence: str, *, letter_id: int | None, reason: str | None) -> None:
        super().__init__(sentence)
        self.letter_id = letter_id
        self.reason = reason


class NotRestorable(RunferryError):  # noqa: N818 - a state of the rows, not a mistake
    """Rows were changed since they were written, so that documents can't be made from them any more."""
