"""The actors: Dramatiq's names for what a worker does with a message, one a queue."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.middleware import CurrentMessage

from shared import queues
from shared.broker.broker import RunferryBroker
from shared.broker.evidence import ATTEMPTS
from workers.carrier import Carrier

#: Smaller is sooner: a live output never waits behind those of a backfill that a process has fetched already.
_LIVE_PRIORITY = 0
_BACKFILL_PRIORITY = 10


def declare_actors(broker: RunferryBroker, carrier: Carrier) -> None:
    """Declare the writing actors on `broker`; each takes one keyword, `message`, a message of the contract."""

    def carry(queue: str, message: dict[str, Any]) -> None:
        current = CurrentMessage.get_current_message()
        if current is None:
            raise RuntimeError("the broker lacks Dramatiq's CurrentMessage middleware")
        carrier.carry(message, current.message_id, queue, int(current.options.get(ATTEMPTS, 0)) + 1)

    @dramatiq.actor(broker=broker, actor_name=queues.WRITE_LIVE, queue_name=queues.LIVE, priority=_LIVE_PRIORITY)
    def write_live(*, message: dict[str, Any]) -> None:
        carry(queues.LIVE, message)

    @dramatiq.actor(
        broker=broker, actor_name=queues.WRITE_BACKFILL, queue_name=queues.BACKFILL, priority=_BACKFILL_PRIORITY
    )
    def write_backfill(*, message: dict[str, Any]) -> None:
        carry(queues.BACKFILL, message)
