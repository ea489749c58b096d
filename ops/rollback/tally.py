"""Tally: what a rollback did, summed over its runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ops.rollback.deciding import Kept, RunAction, RunRollback
from shared.ids import RunId


@dataclass(frozen=True, slots=True)
class KeptInRun:
    """A row that stays, and its run."""

    run_id: RunId
    kept: Kept

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        kept = self.kept
        return {
            "run_id": self.run_id,
            "table": kept.what,
            "number": kept.number or None,
            "id": kept.id,
            "why": kept.why.value,
            "columns": kept.detail or None,
        }

    def __str__(self) -> str:
        name = {"OpportunityCard": f"card {self.kept.number}", "StageOutput": f"stage output {self.kept.number}"}
        what = name.get(self.kept.what, {"Run": "the run itself"}.get(self.kept.what, "the inspiration report"))
        detail = f" ({self.kept.detail})" if self.kept.detail else ""
        return f"{self.run_id}: {what}: {self.kept.why.value}{detail}"


@dataclass(slots=True)
class Tally:
    """Counts of runs and rows, and everything that is to be named."""

    runs: int = 0
    runs_deleted: int = 0
    runs_restored: int = 0
    runs_kept: int = 0
    rows_deleted: Counter[str] = field(default_factory=Counter)
    rows_restored: Counter[str] = field(default_factory=Counter)
    existed: int = 0
    kept: list[KeptInRun] = field(default_factory=list)
    skipped: list[tuple[RunId, str]] = field(default_factory=list)
    deleted_in_web_app: int = 0
    user_removed: bool = False

    def add(self, run_id: RunId, rollback: RunRollback) -> None:
        """Count one run."""
        self.runs += 1
        self.runs_deleted += rollback.run is RunAction.DELETE
        self.runs_restored += rollback.run is RunAction.RESTORE
        self.runs_kept += rollback.run is RunAction.KEEP
        self.rows_deleted.update(key.table.value for key, _ in rollback.deletes)
        self.rows_restored.update(key.table.value for key, _, _ in rollback.restores)
        self.existed += rollback.existed
        self.kept += [KeptInRun(run_id, kept) for kept in rollback.kept]

    def to_json(self) -> dict[str, Any]:
        """Return the sums, without what is named."""
        return {
            "runs": self.runs,
            "runs_deleted": self.runs_deleted,
            "runs_restored": self.runs_restored,
            "runs_kept": self.runs_kept,
            "rows_deleted": dict(self.rows_deleted),
            "rows_restored": dict(self.rows_restored),
            "rows_that_existed": self.existed,
            "rows_kept": len(self.kept),
            "deleted_in_web_app": self.deleted_in_web_app,
            "user_removed": self.user_removed,
        }
