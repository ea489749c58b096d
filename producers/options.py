"""Options of `producer backfill`, as one frozen object."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from shared.contract import Prefer
from shared.run_folders.share import Share


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """What the user asked for; without `run_ids` all runs are meant."""

    root: Path
    settle_s: float
    worker_timeout_s: float
    run_ids: tuple[str, ...] = ()
    user_id: str | None = None
    limit: int | None = None
    share: Share | None = None
    dry_run: bool = False
    resume: bool = False
    rate_per_s: float | None = None
    prefer: Prefer | None = None
    wait: bool = False
    run_workers: int | None = None
    strict: bool = False

    @property
    def follows(self) -> bool:
        """Whether the messages are followed to their end."""
        return (self.wait or self.run_workers is not None) and not self.dry_run

    def command(self, *more: str) -> str:
        """Return a command line that means the same runs, user and preference, to be shown to the user."""
        words = ["producer", "backfill"]
        words += [word for run_id in self.run_ids for word in ("--run-id", run_id)] or ["--all"]
        if self.share is not None:
            words += ["--share", str(self.share)]
        words += ["--root", str(self.root)]
        if self.user_id is not None:
            words += ["--user-id", self.user_id]
        if self.prefer is not None:
            words += ["--prefer", self.prefer.value]
        return shlex.join([*words, *more])
