"""Presence: every live process that follows the phase says in which one it is; one that falls silent disappears.

Keys: `NAMESPACE:__process__.ID` is the JSON of one process and expires; `NAMESPACE:__processes__` is the set of ids.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
import redis

from shared.settings import Phase

EXPIRY_MS: Final = 10_000


class Kept(NamedTuple):
    """What waits in a process' outbox."""

    entries: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Process:
    """One live process; `changed_at` tells which change it follows, None where it never heard of one."""

    process_id: str
    host: str
    pid: int
    role: str
    phase: Phase
    changed_at: datetime | None
    outbox_entries: int = 0
    outbox_bytes: int = 0

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.role} {self.host}:{self.pid}"


def announce(client: redis.Redis, namespace: str, process: Process) -> None:
    """Say that a process lives, and its phase; raises redis.RedisError."""
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set(_key(namespace, process.process_id), orjson.dumps(asdict(process)), px=EXPIRY_MS)
        pipeline.sadd(_members(namespace), process.process_id)
        pipeline.execute()


def withdraw(client: redis.Redis, namespace: str, process_id: str) -> None:
    """Say that a process ends; raises redis.RedisError."""
    with client.pipeline(transaction=False) as pipeline:
        pipeline.delete(_key(namespace, process_id))
        pipeline.srem(_members(namespace), process_id)
        pipeline.execute()


def live_processes(client: redis.Redis, namespace: str) -> list[Process]:
    """Return the processes that announced themselves lately, by name; raises redis.RedisError."""
    ids = sorted(
        found.decode() if isinstance(found, bytes) else found for found in client.smembers(_members(namespace))
    )
    if not ids:
        return []
    texts = client.mget([_key(namespace, process_id) for process_id in ids])
    silent = [process_id for process_id, text in zip(ids, texts, strict=True) if text is None]
    if silent:
        client.srem(_members(namespace), *silent)
    return sorted((_process_of(text) for text in texts if text is not None), key=lambda process: process.name)


def _process_of(text: bytes | str) -> Process:
    value: dict[str, Any] = orjson.loads(text)
    known = {name: value[name] for name in Process.__dataclass_fields__ if name in value}
    changed_at = known.get("changed_at")
    return Process(
        **known
        | {
            "phase": Phase(known["phase"]),
            "changed_at": None if changed_at is None else datetime.fromisoformat(changed_at),
        }
    )


def _key(namespace: str, process_id: str) -> str:
    return f"{namespace}:__process__.{process_id}"


def _members(namespace: str) -> str:
    return f"{namespace}:__processes__"
