"""Log context: every line that is written while a message is worked on carries its run id and its message id."""

from __future__ import annotations

from typing import Any

from dramatiq.broker import Broker, MessageProxy
from dramatiq.middleware import Middleware
from structlog.contextvars import bind_contextvars, unbind_contextvars
from typing_extensions import override


class LogContext(Middleware):
    """Stands before all other middleware: then its ids are bound first and taken back last."""

    @override
    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Bind the ids in this thread."""
        bind_contextvars(message_id=message.message_id)
        carried = message.kwargs.get("message")
        if isinstance(carried, dict) and isinstance(run_id := carried.get("run_id"), str):
            bind_contextvars(run_id=run_id)

    @override
    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        """Take them back."""
        unbind_contextvars("message_id", "run_id")

    @override
    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """Take them back."""
        unbind_contextvars("message_id", "run_id")
