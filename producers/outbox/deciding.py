"""Deciding what to do with an entry of the outbox. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from producers.outbox.ends import DURABLE


class Step(Enum):
    """What to do with an entry now."""

    REMOVE = auto()  # PostgreSQL has a durable end for it
    PUBLISH = auto()  # it is in no queue and in no row: it was never sent, or Redis lost it
    WAIT = auto()


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of an entry; the queue was looked at before PostgreSQL was."""

    verdict: str | None  # of PostgreSQL, None where it has none
    database_answers: bool
    in_flight: bool
    queue_answers: bool
    publishing: bool  # the phase lets messages out
    fresh: bool  # its writer may just be sending it
    sent_before: bool  # by this process


def decide(sight: Sight) -> Step:
    """Return the step.

    An acknowledgement comes after the commit. So what was not in flight, and then has no end in PostgreSQL, is lost
    or was never sent.
    """
    if sight.verdict is not None:
        return Step.REMOVE if sight.verdict in DURABLE else Step.WAIT
    if not sight.publishing or not sight.queue_answers or sight.in_flight or sight.fresh:
        return Step.WAIT
    if not sight.database_answers and sight.sent_before:
        # Perhaps it is committed already: sending it again and again would tell nothing new.
        return Step.WAIT
    return Step.PUBLISH
