"""Waiting until live processes say that they follow a change of phase."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import redis

from shared.broker.client import make_client
from shared.phase.change import PhaseChange
from shared.phase.presence import EXPIRY_MS, Process, live_processes
from shared.settings import Phase, Settings

_PAUSE_S: Final = 0.1
#: A process that died just now is named until its announcement expires; so long is waited for an answer.
_PATIENCE_S: Final = EXPIRY_MS / 1000 + 1


@dataclass(frozen=True, slots=True)
class Answers:
    """Who follows, who lives and did not say so, and, in files-only, whose outbox is not empty."""

    acknowledged: tuple[Process, ...]
    silent: tuple[Process, ...]
    with_outbox: tuple[Process, ...]


def await_answers(settings: Settings, redis_url: str, change: PhaseChange) -> Answers:
    """Return the answers once every live process gave one, or the time is over."""
    client = make_client(redis_url, timeout_s=settings.connect_timeout.total_seconds(), retried=False)
    deadline_s = time.monotonic() + _PATIENCE_S
    processes: list[Process] = []
    try:
        while True:
            try:
                processes = live_processes(client, settings.namespace)
            except (redis.RedisError, OSError):
                break
            if all(_follows(process, change) for process in processes) or time.monotonic() > deadline_s:
                break
            time.sleep(_PAUSE_S)
    finally:
        client.close()
    kept = [process for process in processes if process.outbox_entries] if change.phase is Phase.FILES_ONLY else []
    return Answers(
        tuple(process for process in processes if _follows(process, change)),
        tuple(process for process in processes if not _follows(process, change)),
        tuple(kept),
    )


def _follows(process: Process, change: PhaseChange) -> bool:
    return process.changed_at is not None and process.changed_at >= change.at
