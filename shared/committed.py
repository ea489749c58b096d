"""The notification of a commit: its channel, and the ids of the messages that want a receipt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: Of NOTIFY; one notification a group commit, and only where a message in it wants a receipt.
CHANNEL: Final = "runferry_committed"

#: Stands for: look yourselves. PostgreSQL takes payloads of less than 8,000 bytes.
EVERYBODY: Final = "*"
_MAX_PAYLOAD_BYTES: Final = 7_900


def payload_of(message_ids: Sequence[str]) -> str:
    """Return the payload that names these messages."""
    payload = " ".join(message_ids)
    return payload if len(payload.encode()) <= _MAX_PAYLOAD_BYTES else EVERYBODY


def message_ids_in(payload: str) -> frozenset[str] | None:
    """Return the messages that a payload names; None where it may mean any."""
    return None if payload == EVERYBODY else frozenset(payload.split(" "))
