"""The life of a consuming process, tied to Dramatiq's worker."""

from __future__ import annotations

from typing import Protocol

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware
from dramatiq.worker import Worker
from typing_extensions import override


class Consuming(Protocol):
    """The part of the broker that starts and stops with the worker."""

    def begin_stop(self) -> None:
        """Stop fetching."""

    def end_consumption(self) -> None:
        """Send what is to be settled, and leave."""


class Lifecycle(Middleware):
    """Stops fetching when the worker begins to stop, and leaves when it has stopped."""

    def __init__(self, consuming: Consuming) -> None:
        self._consuming = consuming

    @override
    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Stop fetching."""
        self._consuming.begin_stop()

    @override
    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Send what is to be settled, and leave."""
        self._consuming.end_consumption()
