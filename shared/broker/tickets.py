"""What settling one message needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from shared.broker.delivery import Delivery
from shared.broker.handback import GoBack
from shared.broker.in_flight import NONE, IndexEntries
from shared.frozen import frozen


class Operation(StrEnum):
    """How a worker's hold on a message ends; see `lua/settle.lua`."""

    ACK = "ack"
    FRONT = "front"
    BACK = "back"
    DELAY = "delay"
    BURY = "bury"


@frozen
class Ticket:
    """One message to settle; `detail` is a delay in ms or the evidence, `data` replaces its bytes."""

    redis_message_id: str
    entries: IndexEntries = NONE
    detail: str | bytes | int = ""
    data: bytes = b""

    def arguments(self) -> tuple[str | bytes | int, ...]:
        """Return the ticket as the script takes it."""
        return (self.redis_message_id, *self.entries.arguments(), self.detail, self.data)


def ticket_of(message: Any, *, detail: str | bytes | int = "", data: bytes = b"") -> Ticket:
    """Return the ticket of a delivery, or of any message that has a `redis_message_id` option."""
    if isinstance(message, Delivery):
        return Ticket(message.redis_message_id, message.entries, detail, data)
    return Ticket(message.options["redis_message_id"], detail=detail, data=data)


def going_back(message: Delivery, how: GoBack) -> tuple[Operation, Ticket]:
    """Return how a handed-back message is settled."""
    data = how.data or b""
    if how.delay_ms is not None:
        return Operation.DELAY, ticket_of(message, detail=max(0, how.delay_ms), data=data)
    return Operation.FRONT if how.front else Operation.BACK, ticket_of(message, data=data)
