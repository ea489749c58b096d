"""The dead queue: what Redis alone holds, since no worker has filed it yet."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

import orjson

from ops.backup.hashed_file import HashedFile
from ops.backup.manifest import Part
from shared import queues
from shared.broker.broker import make_broker
from shared.broker.client import queue_errors
from shared.settings import Settings

_AT_ONCE: Final = 100


def save_dead_queues(redis_url: str, settings: Settings, target: Path) -> tuple[Part, int]:
    """Write every message of the dead queues as a line of JSON, and return how many; raises QueueAway.

    They leave Redis as letters once a worker files them; saved twice they are harmless.
    """
    broker = make_broker(redis_url, settings, patience=settings.connect_timeout)
    file = HashedFile(target)
    messages = 0
    try:
        with queue_errors():
            for queue in queues.ALL:
                key = f"{settings.namespace}:{queue}.XQ"
                for found, content in broker.client.hscan_iter(f"{key}.msgs", count=_AT_ONCE):
                    evidence: Any = broker.client.hget(f"{key}.evidence", found)
                    file.write(orjson.dumps(_line(queue, found, content, evidence)) + b"\n")
                    messages += 1
        return file.finish(), messages
    except BaseException:
        file.abandon()
        target.unlink(missing_ok=True)
        raise
    finally:
        broker.close()


def _line(queue: str, found: bytes, content: bytes, evidence: bytes | None) -> dict[str, Any]:
    return {
        "queue": queue,
        "id": found.decode("utf-8", "replace"),
        "message_base64": base64.b64encode(content).decode(),
        "evidence": None if evidence is None else evidence.decode("utf-8", "replace"),
    }
