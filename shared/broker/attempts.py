"""Attempts: what becomes of a message whose actor raised.

The way back to the queue is one atomic step with leaving the worker's hands. Dramatiq's own Retries enqueues a
copy and acknowledges the original, also when the copy could not be enqueued.
"""

from __future__ import annotations

from random import uniform
from typing import Any, Final

from dramatiq.broker import Broker, MessageProxy
from dramatiq.errors import RateLimitExceeded
from dramatiq.middleware import Middleware
from typing_extensions import override

from shared.broker.delivery import Delivery, Undecodable
from shared.broker.evidence import utc_now_text
from shared.broker.handback import GoBack, HandBack
from shared.broker.options import ATTEMPTS, FIRST_FAILED_AT
from shared.errors import FatalError, RetryableError

_FIRST_PAUSE_MS: Final = 5_000
_LONGEST_PAUSE_MS: Final = 60_000
_WORLD_PAUSE_MS: Final = 2_000


class Attempts(Middleware):
    """Gives failing messages back with growing pauses, and buries one after `max_attempts` unknown failures."""

    def __init__(self, max_attempts: int, *, first_pause_ms: int = _FIRST_PAUSE_MS) -> None:
        self._max_attempts = max_attempts
        self._first_pause_ms = first_pause_ms

    @override
    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Decide by the class of the exception."""
        if exception is None or not isinstance(message, Delivery):
            return
        match exception:
            case HandBack():
                message.go_back = GoBack(exception.delay_ms)
            case RetryableError() | RateLimitExceeded():
                # The world is broken: that is never held against the message.
                message.go_back = GoBack(_WORLD_PAUSE_MS)
            case FatalError():
                message.fail()
            case _:
                self._count(message)

    def _count(self, message: Delivery) -> None:
        attempts = message.options.get(ATTEMPTS, 0) + 1
        message.options[ATTEMPTS] = attempts
        message.options.setdefault(FIRST_FAILED_AT, utc_now_text())
        if attempts >= self._max_attempts:
            message.fail()
            return
        try:
            counted = message.encode()
        except Undecodable:
            # What can't carry its count would be tried for ever.
            message.fail()
        else:
            message.go_back = GoBack(pause_ms(attempts, self._first_pause_ms), data=counted)


def pause_ms(attempts: int, first_pause_ms: int) -> int:
    """Return the pause after so many failed attempts: doubling, with jitter, at most a minute."""
    return int(min(_LONGEST_PAUSE_MS, first_pause_ms * 2 ** (attempts - 1)) * uniform(0.75, 1.25))  # noqa: S311 - jitter
