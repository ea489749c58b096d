"""A worker's hands: what it takes from the queues and how it lets go, as Redis keeps it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import redis

from shared.broker.scripts import Scripts, as_text
from shared.broker.tickets import Operation, Ticket
from shared.counting import counted
from shared.frozen import frozen

_logger = logging.getLogger(__name__)

_PROMOTED_AT_ONCE: Final = 100


@frozen
class Fetched:
    """One message as it came from Redis."""

    redis_message_id: str
    data: bytes
    deaths_alone: int | None


class Hands:
    """Holds messages for one worker; every method raises redis.RedisError."""

    def __init__(self, client: redis.Redis, namespace: str, worker_id: str) -> None:
        self.scripts: Final = Scripts(client, namespace)
        self._client = client
        self._namespace = namespace
        self._worker_id = worker_id

    def fetch(self, queue: str, count: int, max_bytes: int) -> list[Fetched]:
        """Take hold of waiting messages, up to `count` or the one that reaches `max_bytes`."""
        reply = self.scripts.run("fetch", self._worker_id, queue, count, max_bytes)
        return [
            Fetched(as_text(message_id), data, int(deaths) if deaths else None)
            for message_id, data, deaths in zip(reply[0::3], reply[1::3], reply[2::3], strict=True)
        ]

    def owned(self, queue: str) -> set[str]:
        """Return the ids that are in this worker's hands."""
        acks = f"{self._namespace}:__acks__.{self._worker_id}.{queue}"
        return {as_text(member) for member in self._client.smembers(acks)}

    def settle(self, operation: Operation, queue: str, messages: Sequence[Ticket | str | bytes]) -> int:
        """Let go of messages, and return how many were still in this worker's hands."""
        arguments: list[str | bytes | int] = []
        for message in messages:
            arguments += (message if isinstance(message, Ticket) else Ticket(as_text(message))).arguments()
        return int(self.scripts.run("settle", self._worker_id, operation, queue, *arguments))

    def promote(self, queue: str) -> int:
        """Move what is due from a delay queue to `queue`; returns ms until more is, -1 for never."""
        return int(self.scripts.run("promote", queue, _PROMOTED_AT_ONCE))

    def mark_alone(self, mark: str) -> None:
        """Note which suspect runs alone, by queue and id; "" for none."""
        self.scripts.run("alone", self._worker_id, mark)

    def leave(self) -> None:
        """Give everything back and stop being a worker; without Redis, another one will take over."""
        try:
            returned = self.scripts.run("leave", self._worker_id)
        except (redis.RedisError, OSError) as error:
            _logger.warning("Can't take leave of Redis; another worker will take over: %s", error)
        else:
            if returned:
                _logger.info("Gave %s back to the queues", counted(returned, "message"))
