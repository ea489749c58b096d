"""Holds: queues that a person, or a phase, has stopped; kept in Redis, followed by every worker within two seconds.

Key: `NAMESPACE:__holds__`, a hash of queue -> JSON {"who", "why", "at"}.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
import redis

_KEY: Final = "__holds__"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a queue is not consumed; `at` is UTC."""

    who: str
    why: str
    at: datetime


class Holds:
    """The holds in Redis; every method raises redis.RedisError."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._key = f"{namespace}:{_KEY}"

    def all(self) -> dict[str, Hold]:
        """Return what is held, by queue."""
        found = self._client.hgetall(self._key)
        return {_text(queue): _hold_of(text) for queue, text in found.items()}

    def put(self, queue: str, hold: Hold) -> None:
        """Hold a queue; what is being worked on goes on."""
        self._client.hset(self._key, queue, orjson.dumps({"who": hold.who, "why": hold.why, "at": hold.at}))

    def lift(self, queue: str) -> bool:
        """Let a queue go on; returns whether it was held."""
        return bool(self._client.hdel(self._key, queue))


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _hold_of(text: bytes | str) -> Hold:
    value = orjson.loads(text)
    return Hold(value["who"], value["why"], datetime.fromisoformat(value["at"]))
