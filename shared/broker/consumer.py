"""The consumer of a queue: fetches, decodes, and has each message settled."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

import redis
from dramatiq.broker import Consumer, MessageProxy

from shared.broker.bundle import Bundle, Bundling
from shared.broker.consumption import Consumption
from shared.broker.delivery import Delivery, Undecodable, read_message, remaining_delay_ms
from shared.broker.evidence import CrashLoop, Evidence, evidence_of
from shared.broker.hands import Fetched, Hands
from shared.broker.tickets import Operation, Ticket, going_back, ticket_of

_logger = logging.getLogger(__name__)

#: One process holds so many bytes of a queue at most, and one message more.
_HELD_BYTES: Final = 32 * 1024 * 1024
#: A message is condemned after so many deaths while it ran alone: one may be a coincidence, three are not.
DEATHS_THAT_CONDEMN: Final = 3

_SHORT_WAIT_S: Final = 0.005
_STOPPING_WAIT_S: Final = 0.05
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 1.0


class Valve(Protocol):
    """The part of the broker that says whether a queue flows."""

    def is_paused(self, queue: str) -> bool:
        """Return whether nothing is to be fetched now."""


class QueueConsumer(Consumer):
    """Hands the messages of one queue to Dramatiq's worker. Losing Redis only makes it wait.

    It holds `prefetch` messages, each for a thread. With `bundling` it holds as many as go into one bundle, which is
    for one thread, and keeps `prefetch` threads busy at most.
    """

    def __init__(
        self,
        broker: Valve,
        hands: Hands,
        consumption: Consumption,
        queue_name: str,
        prefetch: int,
        timeout_ms: int,
        bundling: Bundling | None = None,
    ) -> None:
        self.queue_name = queue_name
        self.broker = broker
        self._hands = hands
        self._consumption = consumption
        self._most_out = prefetch
        # What waits alone may wait for others to pass: a bundle finds a thread even then.
        self._most_alone = prefetch if bundling is None else max(1, prefetch - 1)
        self._most_held = prefetch if bundling is None else bundling.most
        self._timeout_s = timeout_ms / 1000
        self._holding = consumption.holding(queue_name)
        self._arrived = consumption.wakeups.event(queue_name)
        self._fetched: deque[Fetched] = deque()
        self._bundling = bundling
        self._to_go_alone: deque[Delivery] = deque()
        #: What was handed out and has not come back: messages by their ids in Redis, bundles by their own.
        self._out_alone: set[str] = set()
        self._out_together: set[str] = set()
        self._closed = False
        self._may_have_strays = True
        #: The last fetch took all that there was: what came since then wakes this consumer.
        self._emptied = False
        self._pause_s = 0.0

    @property
    def outstanding_message_count(self) -> int:
        """Messages that are fetched and not settled."""
        return len(self._holding)

    def __next__(self) -> MessageProxy | None:
        if self._to_go_alone and self._may_hand_out_one():
            return self._next_alone()
        if self._out >= self._most_out:
            self._wait()
            return None
        if not self._fetched:
            self._fetch()
        together: list[Delivery] = []
        while self._fetched:
            delivery = self._open(self._fetched.popleft())
            if delivery is None:
                continue
            if self._bundling is None or not self._bundling.takes(delivery):
                self._to_go_alone.append(delivery)
                break
            together.append(delivery)
        if self._bundling is not None and len(together) > 1:
            bundle = Bundle(self.queue_name, self._bundling.together, together)
            self._out_together.add(bundle.message_id)
            return bundle
        self._to_go_alone.extendleft(together)
        return self._next_alone() if self._to_go_alone and self._may_hand_out_one() else None

    def ack(self, message: MessageProxy) -> None:
        """Forget a message that is done, or give it back where its actor or the middleware said so.

        What its bundle did not finish is handed out again by itself.
        """
        if isinstance(message, Bundle):
            self._unbundle(message)
        elif isinstance(message, Delivery) and message.go_back is not None:
            operation, ticket = going_back(message, message.go_back)
            self._settle(operation, ticket)
        else:
            self._settle(Operation.ACK, ticket_of(message))

    def nack(self, message: MessageProxy) -> None:
        """Bury a message with the evidence of its death; a bundle does not die, each of it comes alone."""
        if isinstance(message, Bundle):
            self._unbundle(message)
            return
        error = message._exception if isinstance(message, MessageProxy) else None
        evidence = evidence_of(
            error, queue=self.queue_name, message_id=message.message_id, options=message.options
        )
        self._bury(ticket_of(message), evidence)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back that were never started; they keep their order."""
        for message in reversed(list(messages)):
            deliveries = message.deliveries if isinstance(message, Bundle) else [message]
            for delivery in reversed(deliveries):
                self._settle(Operation.FRONT, ticket_of(delivery))
            self._out_together.discard(message.message_id)

    def close(self) -> None:
        """Give back what was fetched and not handed out, and from now on what a bundle did not finish."""
        self._closed = True
        while self._fetched:
            self._settle(Operation.FRONT, Ticket(self._fetched.pop().redis_message_id))
        while self._to_go_alone:
            self._settle(Operation.FRONT, ticket_of(self._to_go_alone.pop()))

    def _unbundle(self, bundle: Bundle) -> None:
        """End the hold on what the bundle's actor finished; each of the others comes alone, with all that it needs."""
        unfinished: list[Delivery] = []
        for delivery in bundle.deliveries:
            if bundle.go_back is None and delivery.finished:
                self.ack(delivery)
            else:
                unfinished.append(delivery)
        if bundle.go_back is not None or self._closed or self._consumption.stopping:
            self.requeue(unfinished)
        else:
            self._to_go_alone.extend(unfinished)
        self._out_together.discard(bundle.message_id)
        self._arrived.set()

    @property
    def _out(self) -> int:
        return len(self._out_alone) + len(self._out_together)

    def _may_hand_out_one(self) -> bool:
        return len(self._out_alone) < self._most_alone and self._out < self._most_out

    def _next_alone(self) -> Delivery:
        delivery = self._to_go_alone.popleft()
        self._out_alone.add(delivery.redis_message_id)
        return delivery

    def _wait(self) -> None:
        self._arrived.wait(_STOPPING_WAIT_S if self._consumption.stopping else self._timeout_s)
        self._arrived.clear()
        # It may have been woken for something that came, which nobody says twice.
        self._emptied = False

    def _fetch(self) -> None:
        if self._room() and self._emptied:
            # Asking again at once would compete with the message that was just handed out.
            self._arrived.wait(self._timeout_s)
        room = self._room()
        if room == 0:
            self._wait()
            return
        if room * 4 < self._most_held:
            # Fetching one by one as each is settled would cost a round trip each.
            self._arrived.wait(_SHORT_WAIT_S)
            room = self._room()
        self._arrived.clear()
        try:
            if self._may_have_strays:
                self._return_strays()
            most_bytes = _HELD_BYTES - self._holding.bytes
            fetched = self._hands.fetch(self.queue_name, room, most_bytes)
        except (redis.RedisError, OSError) as error:
            self._lost(error)
            return
        self._pause_s = 0.0
        for message in fetched:
            self._holding.add(message.redis_message_id, len(message.data))
        self._fetched.extend(fetched)
        self._emptied = len(fetched) < room and sum(len(message.data) for message in fetched) < most_bytes

    def _room(self) -> int:
        if self._consumption.stopping or self.broker.is_paused(self.queue_name):
            return 0
        if self._holding.bytes >= _HELD_BYTES:
            return 0
        return max(0, self._most_held - len(self._holding))

    def _return_strays(self) -> None:
        # A fetch whose answer was lost leaves messages in this worker's hands that it does not know of. Since it
        # lives, nobody would ever take them over.
        owned = self._hands.owned(self.queue_name)
        strays = owned - self._holding.ids() - self._consumption.settler.unsent(self.queue_name)
        for redis_message_id in strays:
            self._settle(Operation.FRONT, Ticket(redis_message_id))
        self._may_have_strays = False

    def _lost(self, error: Exception) -> None:
        if self._pause_s == 0.0:
            _logger.warning("Can't fetch from queue %s, waiting for Redis: %s", self.queue_name, error)
        self._may_have_strays = True
        self._emptied = False
        self._pause_s = min(max(_FIRST_PAUSE_S, self._pause_s * 2), _LONGEST_PAUSE_S)
        self._consumption.pause(self._pause_s)

    def _open(self, fetched: Fetched) -> Delivery | None:
        redis_message_id = fetched.redis_message_id
        try:
            message = read_message(fetched.data, self.queue_name)
        except Undecodable as error:
            self._bury(Ticket(redis_message_id), evidence_of(error, queue=self.queue_name))
            return None
        delivery = Delivery(message, redis_message_id, fetched.deaths_alone)
        if (fetched.deaths_alone or 0) >= DEATHS_THAT_CONDEMN:
            crash_loop = CrashLoop(
                f"Processing it killed its worker {fetched.deaths_alone} times while it ran alone."
            )
            evidence = evidence_of(
                crash_loop, queue=self.queue_name, message_id=message.message_id, options=message.options
            )
            self._bury(ticket_of(delivery), evidence)
            return None
        delay_ms = remaining_delay_ms(message)
        if delay_ms > 0:
            self._delay(delivery, delay_ms)
            return None
        return delivery

    def _delay(self, delivery: Delivery, delay_ms: int) -> None:
        try:
            data = delivery.encode()
        except Undecodable as error:
            self._bury(
                ticket_of(delivery), evidence_of(error, queue=self.queue_name, message_id=delivery.message_id)
            )
        else:
            self._settle(Operation.DELAY, ticket_of(delivery, detail=delay_ms, data=data))

    def _bury(self, ticket: Ticket, evidence: Evidence) -> None:
        ids = {"run_id": ticket.entries.run_id, "message_id": evidence.message_id}
        _logger.error("Buried a message of queue %s: %s", self.queue_name, evidence.sentence, extra=ids)
        self._settle(Operation.BURY, Ticket(ticket.redis_message_id, ticket.entries, evidence.to_json()))

    def _settle(self, operation: Operation, ticket: Ticket) -> None:
        self._out_alone.discard(ticket.redis_message_id)
        self._consumption.settle(operation, self.queue_name, ticket)
