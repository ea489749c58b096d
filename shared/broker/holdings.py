"""What a process holds of one queue: fetched and not settled."""

from __future__ import annotations

from threading import Event, Lock


class Holding:
    """Counts held messages and bytes; outlives a consumer, since worker threads go on with its messages."""

    def __init__(self, freed: Event) -> None:
        self._freed = freed
        self._bytes_by_id: dict[str, int] = {}
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._bytes_by_id)

    @property
    def bytes(self) -> int:
        """The size of all held messages together."""
        return self._bytes

    def ids(self) -> set[str]:
        """Return the held ids."""
        with self._lock:
            return set(self._bytes_by_id)

    def add(self, redis_message_id: str, size: int) -> None:
        """Take hold of a message."""
        with self._lock:
            # It may be held already: taken over from this process and fetched again, or twice in the queue.
            self._bytes += size - self._bytes_by_id.get(redis_message_id, 0)
            self._bytes_by_id[redis_message_id] = size

    def remove(self, redis_message_id: str) -> None:
        """Make room for another message."""
        with self._lock:
            self._bytes -= self._bytes_by_id.pop(redis_message_id, 0)
        if not self._freed.is_set():
            self._freed.set()
