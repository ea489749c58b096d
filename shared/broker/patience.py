"""A bound on how long a caller waits, whatever hangs: a name server, a connection, an answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import BoundedSemaphore, Thread
from typing import Final, TypeVar

from shared.errors import QueueAway

Result = TypeVar("Result")

#: Calls that may hang at once; more of them fail right away.
_HANGING_CALLS: Final = 8


class Patience:
    """Runs calls aside and gives up on them in time; without a bound it just runs them.

    A call that was given up may still come to its end: what it sends must bear to be sent twice.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._slots = BoundedSemaphore(_HANGING_CALLS)

    def call(self, function: Callable[[], Result]) -> Result:
        """Return what `function` returns, or raise what it raises, or QueueAway when the time is over."""
        if self._timeout_s is None:
            return function()
        if not self._slots.acquire(blocking=False):
            raise QueueAway("Redis does not answer, and earlier calls still hang.")
        outcome: Future[Result] = Future()

        def run() -> None:
            try:
                outcome.set_result(function())
            except BaseException as error:
                outcome.set_exception(error)
            finally:
                self._slots.release()

        Thread(target=run, name="runferry-patience", daemon=True).start()
        try:
            return outcome.result(self._timeout_s)
        except FutureTimeoutError:
            if outcome.done():
                raise
            raise QueueAway(f"Redis did not answer within {self._timeout_s:g} s.") from None
