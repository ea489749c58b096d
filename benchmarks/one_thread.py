"""A worker of one thread, without Dramatiq: fetches, judges, writes and acknowledges by itself, to see what each costs.

It has none of a worker's care for failures and is started by `benchmarks.floor` alone. Its environment names the
stores; a line on stdin starts it, and it ends when the backfill's queue is empty.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import uvloop

from shared import queues
from shared.broker.client import make_client
from shared.broker.encoder import ENCODER
from shared.broker.hands import Hands
from shared.broker.in_flight import entries_of
from shared.broker.tickets import Operation, Ticket
from shared.database import connect
from shared.settings import MEBIBYTE, Settings
from shared.stores import resolve_stores
from workers import transaction
from workers.actors import BUNDLED_MESSAGES
from workers.intake import Consignment, Intake, Undeliverable, take_in
from workers.transaction import Transactor

T = TypeVar("T")

_TIMEOUT_S = 30.0
_MOST_BYTES = 32 * MEBIBYTE


class _Clock:
    """Adds up a thread's processor time by part."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, part: str, call: Callable[..., T], *args: Any) -> T:
        """Call something, and count it to a part."""
        before_s = time.thread_time()
        try:
            return call(*args)
        finally:
            self.seconds[part] += time.thread_time() - before_s


async def _drain(settings: Settings, clock: _Clock) -> int:
    """Drain the queue, and return how many messages this process had of it."""
    stores = resolve_stores(settings)
    connection = await connect(stores.database, settings)
    hands = Hands(
        make_client(stores.redis_url, timeout_s=_TIMEOUT_S, retried=False), settings.namespace, str(uuid4())
    )
    transactor = Transactor(settings.quiet, settings.writer_lock_timeout, "floor:1")
    planned = transaction.plan_batch
    # Planning is done within the write; it is the one part of it that is all ours.
    transaction.plan_batch = lambda *args, **options: clock.timed("plan", partial(planned, *args, **options))
    gc.freeze()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    carried = 0
    while fetched := clock.timed("queue", hands.fetch, queues.BACKFILL, BUNDLED_MESSAGES, _MOST_BYTES):
        messages = [clock.timed("decode", ENCODER.decode, each.data) for each in fetched]
        intakes = clock.timed("judge", _judged, messages, settings.max_output_bytes)
        before_s = time.thread_time()
        await transactor.write(connection, intakes)
        clock.seconds["write"] += time.thread_time() - before_s
        tickets = [
            Ticket(each.redis_message_id, entries_of(message["kwargs"]))
            for each, message in zip(fetched, messages, strict=True)
        ]
        clock.timed("queue", hands.settle, Operation.ACK, queues.BACKFILL, tickets)
        carried += len(fetched)
    clock.seconds["write"] -= clock.seconds["plan"]
    await connection.close()
    return carried


def _judged(messages: Sequence[dict[str, Any]], max_output_bytes: int) -> list[Intake | Undeliverable]:
    now = datetime.now(UTC)
    return [
        take_in(
            message["kwargs"]["message"],
            Consignment(message["message_id"], queues.BACKFILL, 1, now),
            max_output_bytes=max_output_bytes,
        )
        for message in messages
    ]


def main() -> None:
    """Print how many messages were carried, and what each part took, as JSON."""
    clock = _Clock()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        carried = runner.run(_drain(Settings.from_environment(), clock))
    print(json.dumps({"carried": carried, "seconds": clock.seconds}))


if __name__ == "__main__":
    main()
