"""The copy of the phase in Redis, and the hold of the live queue that goes with files-only.

Key: `NAMESPACE:__phase__`, the JSON of the change in force. PostgreSQL has the truth; whoever reads it there and finds
the copy missing or older writes it anew.
"""

from __future__ import annotations

from typing import Final

import redis

from shared import queues
from shared.broker.holds import Hold, Holds
from shared.phase.change import PhaseChange
from shared.settings import Phase

_KEY: Final = "__phase__"
#: Who holds the live queue in files-only; a hold by anybody else is a person's, and stays.
HOLDER: Final = "ops phase"


def read_copy(client: redis.Redis, namespace: str) -> PhaseChange | None:
    """Return the change in Redis, None where there is none; raises redis.RedisError."""
    text = client.get(f"{namespace}:{_KEY}")
    try:
        return None if text is None else PhaseChange.from_json(text)
    except ValueError:
        return None


def write_copy(client: redis.Redis, namespace: str, change: PhaseChange) -> None:
    """Put a change into Redis, and hold or let go of the live queue; raises redis.RedisError."""
    holds = Holds(client, namespace)
    held = holds.all().get(queues.LIVE)
    # The queue is held before anybody may stop publishing, and goes on before anybody publishes again.
    if change.phase is Phase.FILES_ONLY:
        if held is None:
            holds.put(queues.LIVE, Hold(HOLDER, "the phase is files-only", change.at))
    elif held is not None and held.who == HOLDER:
        holds.lift(queues.LIVE)
    client.set(f"{namespace}:{_KEY}", change.to_json())
