"""The broker: what producers, workers and tools call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any, Final, TypeVar, cast
from uuid import uuid4

from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name, q_name
from dramatiq.message import Message
from dramatiq.middleware import Middleware, MiddlewareError

from shared import queues
from shared.broker import clock
from shared.broker.attempts import Attempts
from shared.broker.bundle import Bundling
from shared.broker.burial import DeadMessage, forget_dead, read_dead
from shared.broker.client import make_client, queue_errors
from shared.broker.consumer import QueueConsumer
from shared.broker.consumption import Consumption
from shared.broker.delays import DelayConsumer
from shared.broker.depths import Depth, Memory, read_depths
from shared.broker.hands import Hands
from shared.broker.heartbeat import Heartbeat
from shared.broker.holds import Hold, Holds
from shared.broker.in_flight import InFlight, read_carried, read_in_flight
from shared.broker.lifecycle import Lifecycle
from shared.broker.patience import Patience
from shared.broker.registry import Registry, WorkerInfo
from shared.broker.scripts import Scripts, text_of
from shared.broker.sending import Outgoing, chunks, outgoing, send
from shared.broker.suspects import Suspects
from shared.broker.tickets import Operation, Ticket
from shared.broker.wakeup import Wakeups
from shared.settings import Settings

Result = TypeVar("Result")

#: For stock code that asks; nothing of ours ever purges a dead letter.
_DEAD_MESSAGE_TTL: Final = timedelta(days=36_500)


class RunferryBroker(RedisBroker):
    """Dramatiq's Redis broker without its ways to lose, strand or hide messages.

    Made by `make_broker`. Nothing is connected before the first use. Methods for producers and tools raise
    QueueAway.
    """

    def __init__(
        self,
        redis_url: str,
        settings: Settings,
        *,
        middleware: Sequence[Middleware] = (),
        patience: timedelta | None = None,
    ) -> None:
        self.settings = settings
        self.describe: Callable[[], WorkerInfo | None] = lambda: None
        timeout_s = (patience or settings.connect_timeout).total_seconds()
        worker_id = str(uuid4())
        # A consumer that waits by itself must hear of every lost answer: each may have carried messages.
        self._impatient = make_client(redis_url, timeout_s=timeout_s, retried=False)
        self.hands = Hands(self._impatient, settings.namespace, worker_id)
        self._suspects = Suspects(self.hands.mark_alone)
        super().__init__(  # type: ignore[no-untyped-call]
            client=make_client(redis_url, timeout_s=timeout_s, retried=patience is None),
            middleware=[*middleware, Lifecycle(self), self._suspects],
            namespace=settings.namespace,
            heartbeat_timeout=_milliseconds(settings.heartbeat_timeout),
            dead_message_ttl=_milliseconds(_DEAD_MESSAGE_TTL),
            maintenance_chance=0,
        )
        self.scripts["dispatch"] = self.client.register_script(
            text_of("dispatch_prelude").encode() + cast(bytes, self.scripts["dispatch"].script)
        )
        self.broker_id = worker_id
        self._patience = Patience(patience.total_seconds() if patience else None)
        self._tool_scripts = Scripts(self.client, self.namespace, again=True)
        self._registry = Registry(self.client, self.namespace)
        self._sender: ThreadPoolExecutor | None = None
        self._consumption: Consumption | None = None
        self._consumption_lock = Lock()
        self._paused: set[str] = set()
        #: Caps for queues of large work, so that one process does not hold what others could do.
        self.most_prefetched: dict[str, int] = {}
        #: Queues whose messages go to an actor together, as many as were fetched at once.
        self.bundled: dict[str, Bundling] = {}

    @property
    def worker_id(self) -> str:
        """This process' name among the workers; it is the broker id of the keys in Redis."""
        return str(self.broker_id)

    # For producers.

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Send a message, after `delay` ms if given, and return it as it was sent."""
        self.emit_before("enqueue", message, delay)
        ready = outgoing(message, delay)
        self._call(lambda: send(self._tool_scripts, [ready]))
        sent = ready.message
        if delay is not None:
            eta = current_millis() + delay
            sent = sent.copy(queue_name=dq_name(sent.queue_name), options={"eta": eta})
        self.emit_after("enqueue", sent, delay)
        return sent

    def enqueue_many(self, messages: Iterable[Message[Any]]) -> int:
        """Send messages in chunks, each whole or not at all, and return how many were sent.

        When it raises, the chunks before the failing one are sent. Sending a message twice is harmless. Middleware
        is not asked.
        """
        return self._send_all(chunks(messages))

    def begin_enqueue(self, messages: Iterable[Message[Any]]) -> Future[int]:
        """Make messages ready, and have a thread send them; the future ends as `enqueue_many` would.

        Redis takes its time for large chunks, and the caller has other work meanwhile. What was begun first is sent
        first. Not to be used after `close`.
        """
        if self._sender is None:
            self._sender = ThreadPoolExecutor(1, thread_name_prefix="runferry-sender")
        return self._sender.submit(self._send_all, list(chunks(messages)))

    def _send_all(self, ready: Iterable[Sequence[Outgoing]]) -> int:
        sent = 0
        for chunk in ready:
            self._call(partial(send, self._tool_scripts, chunk))
            sent += len(chunk)
        return sent

    def depths(self) -> dict[str, Depth]:
        """Return what each declared queue holds."""
        return self._call(lambda: read_depths(self._tool_scripts, sorted(self.queues)))

    def memory(self) -> Memory:
        """Return how much memory Redis uses and may use, and what it does at the limit."""
        info = self._call(lambda: self.client.info("memory"))
        return Memory(info["used_memory"], info["maxmemory"], info["maxmemory_policy"])

    def redis_now(self) -> datetime:
        """Return Redis' time in UTC."""
        return self._call(lambda: clock.redis_now(self.client))

    def stamp(self, run_id: str, stage: int, after: datetime | None = None) -> datetime:
        """Return Redis' time in UTC, always later than the last stamp of that run and stage, and than `after`."""
        return self._call(lambda: clock.stamp(self._tool_scripts, run_id, stage, after))

    # For tools.

    def in_flight(self, run_id: str) -> frozenset[InFlight]:
        """Return the outputs of a run that are waiting, being worked on, delayed, or dead and not filed yet."""
        return self.in_flight_many([run_id])[run_id]

    def in_flight_many(self, run_ids: Iterable[str]) -> dict[str, frozenset[InFlight]]:
        """Return the outputs in flight of each run, also of those that have none."""
        return self._call(lambda: read_in_flight(self._tool_scripts, run_ids))

    def carried(self, found: InFlight) -> bytes | None:
        """Return the bytes of the message that carries an output in flight; None where it was settled meanwhile."""
        return self._call(lambda: read_carried(self.client, self.namespace, found))

    def dead_messages(self, queue: str, *, offset: int = 0, limit: int = 100) -> list[DeadMessage]:
        """Return messages of a queue that are dead and not filed yet, oldest first."""
        return self._call(lambda: read_dead(self._tool_scripts, queue, offset=offset, limit=limit))

    def forget_dead(self, queue: str, dead: Iterable[DeadMessage]) -> int:
        """Remove dead messages that are kept elsewhere now, and return how many there were."""
        return self._call(lambda: forget_dead(self._tool_scripts, queue, dead))

    def announce(self, info: WorkerInfo) -> None:
        """Say that a worker lives. Consuming workers do so by themselves with what `describe` returns."""
        self._call(lambda: self._registry.announce(info))

    def live_workers(self) -> list[WorkerInfo]:
        """Return the workers that are alive."""
        return self._call(self._registry.live_workers)

    def holds(self) -> dict[str, Hold]:
        """Return which queues a person holds, and why."""
        return self._call(Holds(self.client, self.namespace).all)

    def flush(self, queue_name: str) -> None:
        """Drop the messages of a queue; never the dead ones."""
        self._call(lambda: self._tool_scripts.run("flush", self.worker_id, queue_name))

    # For workers.

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """Return a consumer of a queue, or of its delay queue; never raises."""
        consumption = self.begin_consumption()
        if queue_name.endswith(".DQ"):
            return DelayConsumer(partial(self.hands.promote, q_name(queue_name)), consumption, queue_name, timeout)
        most = self.most_prefetched.get(queue_name, prefetch)
        return QueueConsumer(
            self, self.hands, consumption, queue_name, min(prefetch, most), timeout, self.bundled.get(queue_name)
        )

    def pause(self, queue: str) -> None:
        """Fetch nothing more from a queue in this process; what is held goes on."""
        self._paused.add(queue)

    def resume(self, queue: str) -> None:
        """Fetch again."""
        self._paused.discard(queue)
        if self._consumption is not None:
            self._consumption.wakeups.event(queue).set()

    def held_messages(self) -> dict[str, int]:
        """Return how many messages this process has fetched and not settled, by queue."""
        consumption = self._consumption
        return {} if consumption is None else consumption.held_messages()

    def is_paused(self, queue: str) -> bool:
        """Return whether nothing is fetched from a queue in this process."""
        return queue in self._paused

    def begin_consumption(self) -> Consumption:
        """Start the heartbeat, the settler and the wake-ups of this process, once."""
        with self._consumption_lock:
            if self._consumption is None:
                self._consumption = Consumption(
                    heartbeat=Heartbeat(
                        self.hands.scripts,
                        self.worker_id,
                        _milliseconds(self.settings.heartbeat_timeout),
                        self._describe,
                    ),
                    wakeups=Wakeups(self._impatient, self.namespace),
                    apply={
                        Operation.ACK: lambda queue, tickets: self.do_ack(queue, *tickets),
                        Operation.BURY: lambda queue, tickets: self.do_nack(queue, *tickets),
                        Operation.FRONT: partial(self.hands.settle, Operation.FRONT),
                        Operation.BACK: partial(self.hands.settle, Operation.BACK),
                        Operation.DELAY: partial(self.hands.settle, Operation.DELAY),
                    },
                )
            return self._consumption

    def begin_stop(self) -> None:
        """Stop fetching; what is held is finished, suspects that wait go back."""
        self._suspects.gate.close()
        if self._consumption is not None:
            self._consumption.begin_stop()

    def end_consumption(self) -> None:
        """Settle what is done, give back the rest, and leave; waits for Redis as long as the drain may take."""
        with self._consumption_lock:
            consumption, self._consumption = self._consumption, None
        if consumption is not None:
            consumption.end(self.settings.drain_timeout.total_seconds(), self.hands.leave)
        self._suspects.gate.open()

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Run the hooks of the middleware; unlike in Dramatiq, one that fails before the boot fails it."""
        if signal != "worker_boot":
            super().emit_before(signal, *args, **kwargs)
            return
        for middleware in self.middleware:
            try:
                middleware.before_worker_boot(self, *args, **kwargs)
            except MiddlewareError:
                raise
            except Exception as error:
                raise MiddlewareError(f"{type(middleware).__name__} can't start: {error}") from error

    def close(self) -> None:
        """Leave, and close the connections."""
        self.end_consumption()
        if self._sender is not None:
            self._sender.shutdown()
        for client in (self.client, self._impatient):
            client.close()
            client.connection_pool.disconnect()

    # Dramatiq's commands, where ours do more. Their names and first arguments are Dramatiq's.

    def do_ack(self, queue_name: str, *messages: Ticket | str | bytes) -> int:
        """Forget messages of this worker."""
        return self.hands.settle(Operation.ACK, queue_name, messages)

    def do_nack(self, queue_name: str, *messages: Ticket | str | bytes) -> int:
        """Bury messages of this worker."""
        return self.hands.settle(Operation.BURY, queue_name, messages)

    def do_qsize(self, queue_name: str) -> int:
        """Count each pending message twice: where its bytes are, and where its id is held."""
        counted: int = self._dispatch("qsize")(queue_name)  # type: ignore[no-untyped-call]
        return counted + int(self.client.zcard(f"{self.namespace}:{q_name(queue_name)}.due"))

    def _describe(self) -> WorkerInfo | None:
        return self.describe()

    def _call(self, function: Callable[[], Result]) -> Result:
        with queue_errors():
            return self._patience.call(function)


def make_broker(
    redis_url: str,
    settings: Settings,
    *,
    middleware: Sequence[Middleware] | None = None,
    patience: timedelta | None = None,
) -> RunferryBroker:
    """Return a broker with runferry's queues declared; it is not Dramatiq's global broker.

    With `patience` every call to Redis ends within that time, in QueueAway if need be: for emitters. Without,
    lost connections are tried again for some seconds. Raises SettingsError where the URL can't be read.
    """
    broker = RunferryBroker(
        redis_url, settings, middleware=[*(middleware or ()), Attempts(settings.max_attempts)], patience=patience
    )
    for queue in queues.ALL:
        broker.declare_queue(queue)
    return broker


def _milliseconds(duration: timedelta) -> int:
    return int(duration / timedelta(milliseconds=1))
