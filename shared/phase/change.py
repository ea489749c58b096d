"""A change of phase, as it is kept in PostgreSQL, in Redis and on disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shared.settings import Phase


@dataclass(frozen=True, slots=True)
class PhaseChange:
    """The phase that somebody set, when (PostgreSQL's time, UTC), who and why; the latest is in force."""

    phase: Phase
    at: datetime
    who: str
    why: str = ""

    def to_json(self) -> bytes:
        """Return the change as Redis and the disk keep it."""
        return orjson.dumps({"phase": self.phase.value, "at": self.at, "who": self.who, "why": self.why})

    @classmethod
    def from_json(cls, text: bytes | str) -> PhaseChange:
        """Return what `to_json` wrote; raises ValueError where it is anything else."""
        value: Any = orjson.loads(text)
        try:
            return cls(
                Phase(value["phase"]), datetime.fromisoformat(value["at"]), str(value["who"]), str(value["why"])
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no change of phase: {error!r}") from None


def latest(*changes: PhaseChange | None) -> PhaseChange | None:
    """Return the change that is in force."""
    return max((change for change in changes if change is not None), key=lambda change: change.at, default=None)
