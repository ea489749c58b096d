"""A bench on which the stock broker and ours are put to the same tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
from dramatiq import Broker, Message, Worker
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware, Retries, ShutdownNotifications
from redis_proxy import RedisProxy

from shared.broker.attempts import Attempts
from shared.broker.broker import RunferryBroker
from shared.settings import Settings

NAMESPACE = "runferry"
QUEUE = "live"


def eventually(condition: Callable[[], object], timeout_s: float = 30.0) -> bool:
    """Wait until the condition holds; False when the time is over first."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return bool(condition())
        pause.wait(0.005)
    return True


class Bench:
    """Makes brokers, workers and messages of one kind, and takes them away."""

    def __init__(self, redis_url: str, folder: Path, *, stock: bool) -> None:
        self.stock = stock
        self.redis_url = redis_url
        self.redis = redis.Redis.from_url(redis_url)
        self._folder = folder
        self._proxy: RedisProxy | None = None
        self._brokers: list[Any] = []
        self._workers: list[Worker] = []

    @property
    def proxy(self) -> RedisProxy:
        """A proxy in front of this test's Redis."""
        if self._proxy is None:
            self._proxy = RedisProxy(self.redis_url, self._folder)
        return self._proxy

    def broker(
        self,
        url: str = "",
        *,
        max_attempts: int = 4,
        heartbeat_timeout_s: float = 10.0,
        timeout_s: float = 5.0,
        retry_pause_ms: int = 200,
        middleware: tuple[Middleware, ...] = (),
    ) -> Any:
        """Return a broker with the queue declared."""
        url = url or self.redis_url
        if self.stock:
            retries = Retries(max_retries=max_attempts - 1, min_backoff=retry_pause_ms, max_backoff=retry_pause_ms)
            joint = "&" if "?" in url else "?"
            broker: Any = RedisBroker(
                url=f"{url}{joint}socket_timeout={timeout_s}",
                namespace=NAMESPACE,
                heartbeat_timeout=int(heartbeat_timeout_s * 1000),
                middleware=[ShutdownNotifications(), retries, *middleware],
            )
        else:
            settings = settings_of(
                heartbeat_timeout=timedelta(seconds=heartbeat_timeout_s),
                connect_timeout=timedelta(seconds=timeout_s),
            )
            attempts = Attempts(max_attempts, first_pause_ms=retry_pause_ms)
            broker = RunferryBroker(url, settings, middleware=[*middleware, attempts])
        broker.declare_queue(QUEUE)
        self._brokers.append(broker)
        return broker

    def worker(self, broker: Broker, *, threads: int = 2, prefetch: int = 8, delay_prefetch: int = 100) -> Worker:
        """Return a running worker."""
        worker = Worker(broker, queues={QUEUE}, worker_threads=threads, worker_timeout=200)
        worker.queue_prefetch = prefetch
        worker.delay_prefetch = delay_prefetch
        self._workers.append(worker)
        worker.start()
        return worker

    def take(self, broker: Broker, count: int = 1) -> tuple[Consumer, list[MessageProxy]]:
        """Take messages in hand without a worker."""
        consumer = broker.consume(QUEUE, prefetch=count, timeout=100)
        taken: list[MessageProxy] = []

        def took_all() -> bool:
            while len(taken) < count and (message := next(consumer)) is not None:
                taken.append(message)
            return len(taken) == count

        assert eventually(took_all)
        return consumer, taken

    def grace_s(self, seconds: float) -> float:
        """Return how long to wait for a defect to show, or, for ours, for a busy machine to show that it doesn't."""
        return seconds if self.stock else 30.0

    def key(self, suffix: str) -> str:
        """Return the name of one of the queue's keys."""
        return f"{NAMESPACE}:{QUEUE}{suffix}"

    def pending(self) -> int:
        """Return how many messages are waiting, in hand, or delayed."""
        # One that moves between two looks must not be missed, and a transaction is refused at the memory limit.
        delayed, present, delayed_now = (
            self.redis.hlen(self.key(key)) for key in (".DQ.msgs", ".msgs", ".DQ.msgs")
        )
        return int(present) + max(int(delayed), int(delayed_now))

    def dead(self) -> int:
        """Return how many messages are dead."""
        return int(self.redis.zcard(self.key(".XQ")))

    def close(self) -> None:
        """Stop everything."""
        if self._proxy is not None:
            self._proxy.speak()
        for worker in self._workers:
            if any(thread.is_alive() for thread in worker.workers):
                worker.stop(timeout=5_000)
        for broker in self._brokers:
            broker.close()
            broker.client.close()
            broker.client.connection_pool.disconnect()
        if self._proxy is not None:
            self._proxy.close()
        self.redis.close()


def settings_of(**values: Any) -> Settings:
    """Return settings of the defaults and these values."""
    return Settings.from_environment(namespace=NAMESPACE, **values)


def message(actor: str = "act", *args: object, **options: object) -> Message[Any]:
    """Return a message for an actor on the bench's queue."""
    return Message(QUEUE, actor, args, {}, dict(options))
