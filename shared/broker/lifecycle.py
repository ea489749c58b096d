"""The life of a consuming process, tied to Dramatiq's worker."""

from __future__ import annotations

from typing import Protocol

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware
from dramatiq.worker import Worker
from typing_extensions import override

from shared.broker.consumption import Consumption


class Consuming(Protocol):
    """The part of the broker that starts and stops with the worker."""

    def begin_consumption(self) -> Consumption:
        """Start what a consuming process runs."""

    def begin_stop(self) -> None:
        """Stop fetching."""

    def end_consumption(self) -> None:
        """Send what is to be settled, and leave."""


class Lifecycle(Middleware):
    """Starts with the worker, stops fetching when it begins to stop, and leaves when it has stopped."""

    def __init__(self, consuming: Consuming) -> None:
        self._consuming = consuming

    @override
    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Start what the consumers need."""
        self._consuming.begin_consumption()

    @override
    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Stop fetching."""
        self._consuming.begin_stop()

    @override
    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Send what is to be settled, and leave."""
        self._consuming.end_consumption()
