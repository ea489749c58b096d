"""The live workers, as each announces itself; one that falls silent disappears by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import orjson
import redis

#: Announcements come with every beat, each two seconds or so.
EXPIRY_MS: Final = 15_000


class WorkerState(StrEnum):
    """What a worker process is doing."""

    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker process; `worker_id` is its broker's id, `reason` says why it is paused.

    `clock_ahead_ms` is how far its machine's clock is ahead of Redis', at least; None where it could not be read.
    """

    worker_id: str
    host: str
    pid: int
    version: str
    root: str
    queues: tuple[str, ...]
    started_at: datetime
    state: WorkerState = WorkerState.RUNNING
    reason: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)
    clock_ahead_ms: int | None = None

    def to_json(self) -> bytes:
        """Return the announcement as it is kept in Redis."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes | str) -> WorkerInfo:
        """Return the announcement in `text`; what a newer version added is left out."""
        values: dict[str, Any] = orjson.loads(text)
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        return cls(
            **known
            | {
                "queues": tuple(known["queues"]),
                "started_at": datetime.fromisoformat(known["started_at"]),
                "state": WorkerState(known["state"]),
            }
        )


class Registry:
    """Announcements in Redis."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def announce(self, info: WorkerInfo) -> None:
        """Say that the worker lives; raises redis.RedisError."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.set(self._key(info.worker_id), info.to_json(), px=EXPIRY_MS)
            pipeline.sadd(f"{self._namespace}:__workers__", info.worker_id)
            pipeline.execute()

    def live_workers(self) -> list[WorkerInfo]:
        """Return the workers that announced themselves lately, by host and pid; raises redis.RedisError."""
        members = f"{self._namespace}:__workers__"
        worker_ids = sorted(
            str(worker_id, "ascii") if isinstance(worker_id, bytes) else worker_id
            for worker_id in self._client.smembers(members)
        )
        if not worker_ids:
            return []
        texts = self._client.mget([self._key(worker_id) for worker_id in worker_ids])
        silent = [worker_id for worker_id, text in zip(worker_ids, texts, strict=True) if text is None]
        if silent:
            self._client.srem(members, *silent)
        workers = [WorkerInfo.from_json(text) for text in texts if text is not None]
        return sorted(workers, key=lambda worker: (worker.host, worker.pid))

    def _key(self, worker_id: str) -> str:
        return f"{self._namespace}:__worker__.{worker_id}"
