"""The broker: what producers, workers and tools call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar
from uuid import uuid4

from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name, q_name
from dramatiq.message import Message
from dramatiq.middleware import Middleware

from shared import queues
from shared.broker import clock
from shared.broker.client import make_client, queue_errors
from shared.broker.depths import Depth, Memory, read_depths
from shared.broker.encoder import ENCODER
from shared.broker.in_flight import InFlight, entries_of, read_in_flight
from shared.broker.patience import Patience
from shared.broker.registry import Registry, WorkerInfo
from shared.broker.scripts import Scripts
from shared.settings import Settings

Result = TypeVar("Result")

#: For stock code that asks; nothing of ours ever purges a dead letter.
_DEAD_MESSAGE_TTL: Final = timedelta(days=36_500)
#: One script call carries so many messages or bytes at most: Redis serves nobody else meanwhile.
_CHUNK_MESSAGES: Final = 200
_CHUNK_BYTES: Final = 4 * 1024 * 1024


class RunferryBroker(RedisBroker):
    """Dramatiq's Redis broker without its ways to lose, strand or hide messages.

    Made by `make_broker`. Nothing is connected before the first use. Methods that talk to Redis raise QueueAway.
    """

    def __init__(
        self,
        redis_url: str,
        settings: Settings,
        *,
        middleware: Sequence[Middleware] = (),
        patience: timedelta | None = None,
    ) -> None:
        timeout_s = (patience or settings.connect_timeout).total_seconds()
        super().__init__(  # type: ignore[no-untyped-call]
            client=make_client(redis_url, timeout_s=timeout_s, retried=patience is None),
            middleware=list(middleware),
            namespace=settings.namespace,
            heartbeat_timeout=_milliseconds(settings.heartbeat_timeout),
            dead_message_ttl=_milliseconds(_DEAD_MESSAGE_TTL),
            maintenance_chance=0,
        )
        self.settings = settings
        self._patience = Patience(patience.total_seconds() if patience else None)
        self._runferry_scripts = Scripts(self.client, self.namespace)
        self._registry = Registry(self.client, self.namespace)

    @property
    def worker_id(self) -> str:
        """This process' name among the workers; it is the broker id of the keys in Redis."""
        return str(self.broker_id)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Send a message, after `delay` ms if given, and return it as it was sent."""
        self.emit_before("enqueue", message, delay)
        sent = _ready(message)
        self._call(lambda: self._send([(sent, ENCODER.encode(sent.asdict()), delay)]))
        if delay is not None:
            eta = current_millis() + delay
            sent = sent.copy(queue_name=dq_name(sent.queue_name), options={"eta": eta})
        self.emit_after("enqueue", sent, delay)
        return sent

    def enqueue_many(self, messages: Iterable[Message[Any]]) -> int:
        """Send messages in chunks, each whole or not at all, and return how many were sent.

        When it raises, the chunks before the failing one are sent. Sending a message twice is harmless.
        """
        sent = 0
        for chunk in _chunks(messages):
            self._call(partial(self._send, chunk))
            sent += len(chunk)
        return sent

    def depths(self) -> dict[str, Depth]:
        """Return what each declared queue holds."""
        return self._call(lambda: read_depths(self._runferry_scripts, sorted(self.queues)))

    def memory(self) -> Memory:
        """Return how much memory Redis uses and may use, and what it does at the limit."""
        info = self._call(lambda: self.client.info("memory"))
        return Memory(info["used_memory"], info["maxmemory"], info["maxmemory_policy"])

    def redis_now(self) -> datetime:
        """Return Redis' time in UTC."""
        return self._call(lambda: clock.redis_now(self.client))

    def stamp(self, run_id: str, stage: int) -> datetime:
        """Return Redis' time in UTC, always later than the last stamp of that run and stage."""
        return self._call(lambda: clock.stamp(self._runferry_scripts, run_id, stage))

    def in_flight(self, run_id: str) -> frozenset[InFlight]:
        """Return the outputs of a run that are waiting, being worked on, delayed, or dead and not filed yet."""
        return self.in_flight_many([run_id])[run_id]

    def in_flight_many(self, run_ids: Iterable[str]) -> dict[str, frozenset[InFlight]]:
        """Return the outputs in flight of each run, also of those that have none."""
        return self._call(lambda: read_in_flight(self._runferry_scripts, run_ids))

    def announce(self, info: WorkerInfo) -> None:
        """Say that a worker lives; workers that beat do this by themselves."""
        self._call(lambda: self._registry.announce(info))

    def live_workers(self) -> list[WorkerInfo]:
        """Return the workers that are alive."""
        return self._call(self._registry.live_workers)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self.client.connection_pool.disconnect()

    def _call(self, function: Callable[[], Result]) -> Result:
        with queue_errors():
            return self._patience.call(function)

    def _send(self, messages: Sequence[tuple[Message[Any], bytes, int | None]]) -> None:
        arguments: list[str | bytes | int] = []
        for message, encoded, delay in messages:
            arguments += [q_name(message.queue_name), message.options["redis_message_id"], encoded]
            arguments += ["" if delay is None else delay, *entries_of(message.kwargs).arguments()]
        self._runferry_scripts.run("enqueue", *arguments)


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
    broker = RunferryBroker(redis_url, settings, middleware=middleware or (), patience=patience)
    for queue in queues.ALL:
        broker.declare_queue(queue)
    return broker


def _milliseconds(duration: timedelta) -> int:
    return int(duration / timedelta(milliseconds=1))


def _ready(message: Message[Any]) -> Message[Any]:
    # Retried and delayed messages keep their message_id, so each one in Redis has another id besides.
    return message.copy(queue_name=q_name(message.queue_name), options={"redis_message_id": str(uuid4())})


def _chunks(messages: Iterable[Message[Any]]) -> Iterator[list[tuple[Message[Any], bytes, None]]]:
    chunk: list[tuple[Message[Any], bytes, None]] = []
    chunk_bytes = 0
    for message in messages:
        ready = _ready(message)
        encoded = ENCODER.encode(ready.asdict())
        if chunk and (len(chunk) == _CHUNK_MESSAGES or chunk_bytes + len(encoded) > _CHUNK_BYTES):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append((ready, encoded, None))
        chunk_bytes += len(encoded)
    if chunk:
        yield chunk
