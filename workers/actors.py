"""The actors: Dramatiq's names for what a worker does with a message, one a queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import dramatiq
from dramatiq.middleware import CurrentMessage

from shared import queues
from shared.broker.broker import RunferryBroker
from shared.broker.bundle import Bundle, Bundling
from shared.broker.delivery import Delivery
from shared.broker.options import ATTEMPTS, FIRST_FAILED_AT
from shared.errors import Malformed
from shared.reasons import Reason
from workers.carrier import Carrier
from workers.reconciling.reconciler import Reconciler

#: Smaller is sooner: a live output never waits behind those of a backfill that a process has fetched already.
_LIVE_PRIORITY = 0
_BACKFILL_PRIORITY = 10
_COMPARE_PRIORITY = 20

#: So many share one thread and, as a rule, one transaction, whose statements cost nearly the same for one and for all.
#: More of them carry a little faster, and have live outputs wait longer for a processor.
BUNDLED_MESSAGES = 20
#: Never sent: it takes what this process fetched at once.
_WRITE_BACKFILL_TOGETHER = "write_backfill_together"


def declare_actors(broker: RunferryBroker, carrier: Carrier, reconciler: Reconciler) -> None:
    """Declare the actors on `broker`; each takes one keyword, `message`: of the contract, or a slice to compare."""

    def carry(queue: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if args or kwargs.keys() != {"message"}:
            raise Malformed(Reason.MESSAGE, "It has other arguments than the keyword `message`.")
        current = CurrentMessage.get_current_message()
        if current is None:
            raise RuntimeError("the broker lacks Dramatiq's CurrentMessage middleware")
        failed = current.options.get(FIRST_FAILED_AT)
        carrier.carry(
            kwargs["message"],
            current.message_id,
            queue,
            current.options.get(ATTEMPTS, 0) + 1,
            datetime.fromisoformat(failed) if failed else None,
            alone=isinstance(current, Delivery) and current.admitted_alone is True,
        )

    @dramatiq.actor(broker=broker, actor_name=queues.WRITE_LIVE, queue_name=queues.LIVE, priority=_LIVE_PRIORITY)
    def write_live(*args: Any, **kwargs: Any) -> None:
        carry(queues.LIVE, args, kwargs)

    @dramatiq.actor(
        broker=broker, actor_name=queues.WRITE_BACKFILL, queue_name=queues.BACKFILL, priority=_BACKFILL_PRIORITY
    )
    def write_backfill(*args: Any, **kwargs: Any) -> None:
        carry(queues.BACKFILL, args, kwargs)

    @dramatiq.actor(
        broker=broker,
        actor_name=_WRITE_BACKFILL_TOGETHER,
        queue_name=queues.BACKFILL,
        priority=_BACKFILL_PRIORITY,
    )
    def write_backfill_together(*, deliveries: Sequence[Delivery]) -> None:
        if not isinstance(CurrentMessage.get_current_message(), Bundle):
            raise Malformed(Reason.MESSAGE, f"Nobody may send messages for the actor {_WRITE_BACKFILL_TOGETHER}.")
        carrier.carry_together(deliveries, queues.BACKFILL)

    broker.bundled[queues.BACKFILL] = Bundling(queues.WRITE_BACKFILL, _WRITE_BACKFILL_TOGETHER, BUNDLED_MESSAGES)

    @dramatiq.actor(
        broker=broker, actor_name=queues.COMPARE, queue_name=queues.RECONCILE, priority=_COMPARE_PRIORITY
    )
    def compare(*, message: dict[str, Any]) -> None:
        reconciler.reconcile(message)
