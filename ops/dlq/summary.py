"""A letter in short: what `list` shows, and how scripts read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.counting import counted


def summary_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that scripts rely on, and the state and sentence beside them."""
    return {
        "id": row["id"],
        "reason": row["reason"],
        "run_id": row["run_id"],
        "stage": row["stage"],
        "origin": row["origin"],
        "died_at": iso(row["died_at"]),
        "fingerprint": row["fingerprint"],
        "seen": row["seen"],
        "replays": row["replays"],
        "state": row["state"],
        "sentence": row["sentence"],
    }


def iso(moment: datetime | None) -> str | None:
    """Return a moment in UTC as ISO 8601 with microseconds, lossless."""
    return (
        None
        if moment is None
        else moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )


def letters(number: int) -> str:
    """Return so many dead letters in words."""
    return counted(number, "dead letter")


def short_time(moment: datetime) -> str:
    """Return a moment in UTC for people, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
