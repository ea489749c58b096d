"""Back-pressure: how much more may be published, so that Redis stays well below what it can hold. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from shared.broker.depths import Depth, Memory
from shared.counting import counted
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class HighWater:
    """The marks above which producers wait; `memory_share` is of Redis' maxmemory."""

    messages: int
    bytes: int
    memory_share: float

    @classmethod
    def of(cls, settings: Settings) -> HighWater:
        """Return the marks of the settings."""
        return cls(settings.high_water_messages, settings.high_water_bytes, settings.high_water_memory)


@dataclass(frozen=True, slots=True)
class Room:
    """What may be published before the queue is looked at again; `reason` says which mark is reached."""

    messages: int
    bytes: int
    reason: str = ""

    def holds(self, messages: int, size_bytes: int) -> bool:
        """Return whether so much fits in."""
        return messages <= self.messages and size_bytes <= self.bytes


NO_ROOM = Room(0, 0)


def room(depth: Depth, memory: Memory, marks: HighWater) -> Room:
    """Return the room below the marks."""
    if memory.share >= marks.memory_share:
        mark = f"{marks.memory_share:.0%}, RUNFERRY_HIGH_WATER_MEMORY"
        return Room(0, 0, f"Redis uses {memory.share:.0%} of its maxmemory, and producers stop at {mark}")
    messages = max(0, marks.messages - depth.pending)
    size_bytes = max(0, marks.bytes - depth.bytes)
    if depth.pending == 0:
        return Room(messages, marks.bytes)
    if depth.pending / marks.messages >= depth.bytes / marks.bytes:
        waiting = counted(depth.pending, "message waits", "messages wait")
        return Room(messages, size_bytes, f"{waiting} (RUNFERRY_HIGH_WATER_MESSAGES)")
    return Room(messages, size_bytes, f"{depth.bytes:,} bytes wait (RUNFERRY_HIGH_WATER_BYTES)")
