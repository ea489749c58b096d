"""How much is in the queues, and how much room Redis has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.broker.scripts import Scripts


@dataclass(frozen=True, slots=True)
class Depth:
    """What one queue holds: messages by state, and the bytes of all but the dead."""

    waiting: int
    in_flight: int
    delayed: int
    dead: int
    bytes: int

    @property
    def pending(self) -> int:
        """All messages that are still to be handled."""
        return self.waiting + self.in_flight + self.delayed


@dataclass(frozen=True, slots=True)
class Memory:
    """Redis' memory in bytes; `max_bytes` is 0 where there is no limit."""

    used_bytes: int
    max_bytes: int
    policy: str

    @property
    def share(self) -> float:
        """The used share of the limit; 0 without one."""
        return self.used_bytes / self.max_bytes if self.max_bytes else 0.0


def read_depths(scripts: Scripts, queues: Sequence[str]) -> dict[str, Depth]:
    """Return the depth of each queue, all at one moment."""
    counts: list[int] = scripts.run("depths", *queues)
    return {
        queue: Depth(*counts[start : start + 5])
        for queue, start in zip(queues, range(0, len(counts), 5), strict=True)
    }
