"""Suspects: messages that a worker died with run alone, so that a further death has only one explanation.

Whether a message was started when its worker died is only asked of suspects, which are few; the others cost
nothing. So it takes one death to be suspected, started or not, and deaths alone to be condemned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import redis
from dramatiq.broker import Broker, MessageProxy
from dramatiq.middleware import Middleware, SkipMessage
from typing_extensions import override

from shared.broker.bundle import Bundle
from shared.broker.delivery import Delivery
from shared.broker.gate import ClosedError, Gate
from shared.broker.handback import GoBack

_logger = logging.getLogger(__name__)

_PAUSE_MS: Final = 1_000


class Suspects(Middleware):
    """Runs suspects alone. `mark` notes in Redis which one runs (queue and id), or "" for none."""

    def __init__(self, mark: Callable[[str], None]) -> None:
        self._mark = mark
        self.gate = Gate()

    @override
    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Wait for the turn; skip the message where it must not run now."""
        if not isinstance(message, Delivery | Bundle):
            return
        alone = message.deaths_alone is not None
        try:
            self.gate.enter(alone=alone)
        except ClosedError:
            message.go_back = GoBack(front=True)
            raise SkipMessage("the worker is shutting down") from None
        message.admitted_alone = alone
        if isinstance(message, Bundle) or not alone:
            return
        _logger.warning("Running a message of queue %s alone: a worker died with it", message.queue_name)
        try:
            self._mark(f"{message.queue_name} {message.redis_message_id}")
        except (redis.RedisError, OSError):
            # Unmarked, its next death would go unnoticed.
            message.go_back = GoBack(delay_ms=_PAUSE_MS)
            raise SkipMessage("a suspect can't be marked") from None

    @override
    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Let others in."""
        if not isinstance(message, Delivery | Bundle) or message.admitted_alone is None:
            return
        if message.admitted_alone:
            try:
                self._mark("")
            except (redis.RedisError, OSError):
                # The mark only counts while the message is in this worker's hands.
                _logger.debug("Can't take the mark off a suspect", exc_info=True)
        message.admitted_alone = None
        self.gate.leave()

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """Let others in."""
        self.after_process_message(broker, message)
