"""Outcomes of an actor other than done and failed."""

from __future__ import annotations

from dataclasses import dataclass

from dramatiq.errors import Retry


class HandBack(Retry):
    """Raised by an actor to give its message back to the queue, without counting an attempt.

    The message goes to the end of the queue, or comes back after `delay_ms`. It leaves the worker's hands in the
    same atomic step, so it is never lost and never acknowledged.
    """

    def __init__(self, delay_ms: int | None = None, why: str = "") -> None:
        super().__init__(why, delay=delay_ms)
        self.delay_ms = delay_ms


@dataclass(frozen=True, slots=True)
class GoBack:
    """A message that goes back to its queue instead of being acknowledged.

    `delay_ms` of None means at once: at the end of the queue, or in `front`. `data` replaces the message's bytes.
    """

    delay_ms: int | None = None
    front: bool = False
    data: bytes | None = None
