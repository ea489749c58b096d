"""The gate before the actors of a process: many run together, or one alone."""

from __future__ import annotations

from threading import Condition


class ClosedError(Exception):
    """The worker is shutting down."""


class Gate:
    """Lets many in together, or one alone; who waits to be alone goes first."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside = 0
        self._alone = False
        self._waiting_alone = 0
        self._closed = False

    def enter(self, *, alone: bool) -> None:
        """Wait for the turn; raises ClosedError."""
        with self._changed:
            if not alone and not self._alone and not self._waiting_alone and not self._closed:
                self._inside += 1
                return
            self._waiting_alone += alone
            try:
                self._changed.wait_for(lambda: self._closed or self._is_turn(alone=alone))
            finally:
                self._waiting_alone -= alone
                self._changed.notify_all()
            if self._closed:
                raise ClosedError
            self._inside += 1
            self._alone = alone

    def leave(self) -> None:
        """Let others in."""
        with self._changed:
            self._inside -= 1
            self._alone = False
            if self._waiting_alone or self._inside == 0:
                self._changed.notify_all()

    def close(self) -> None:
        """Turn everybody away who waits or comes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def open(self) -> None:
        """Let in again."""
        with self._changed:
            self._closed = False

    def _is_turn(self, *, alone: bool) -> bool:
        if alone:
            return self._inside == 0
        return not self._alone and not self._waiting_alone
