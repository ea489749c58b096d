"""Deciding: what a rollback does to each row of a run, and why. Pure; the whole rule stands here.

A row that runferry inserted goes, unless somebody put work into it. A row that runferry overwrote gets back what it
held, unless somebody changed it since. Everything else stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared.comparing.row_hash import row_sha256
from shared.mapping.run_row import as_written, derived_values
from workers.held_state import HeldRun, RunRecord
from workers.ledger import RowKey, RowOperation, WrittenRow
from workers.stage_fold import HeldRow


class Why(StrEnum):
    """Why something is kept that runferry wrote."""

    STARRED = "starred"
    EDITED = "edited since runferry wrote it"
    EDIT_PUT_BACK = "edited before runferry wrote it again: the edit is put back"
    REFERRED = "another table refers to it"
    CARRIES = "rows that are kept hang on it"
    CHANGED = "changed in the web app since runferry wrote it"


class RunAction(StrEnum):
    """What becomes of the row of "Run"."""

    DELETE = "delete"
    RESTORE = "restore"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Kept:
    """A row that stays, and why; `what` is the table."""

    what: str
    number: int
    id: str
    why: Why
    detail: str = ""


@dataclass(slots=True)
class RunRollback:
    """Everything that the rollback of one run does."""

    deletes: list[tuple[RowKey, str]] = field(default_factory=list)
    restores: list[tuple[RowKey, str, Mapping[str, Any]]] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    existed: int = 0  # rows that were there before, said the same, and were never touched
    run: RunAction = RunAction.KEEP
    run_image: Mapping[str, Any] = field(default_factory=dict)


def decide_run(held: HeldRun, referred: Collection[str]) -> RunRollback:
    """Return what a rollback does to a run whose rows were read; `referred` are ids that other tables refer to."""
    rollback = RunRollback()
    for entry in held.entries.values():
        for written in entry.written:
            row = held.rows.get(written.key)
            # Another id: the recorded row is gone, and this one is the web app's own.
            if row is not None and row.id == written.id:
                _decide_row(rollback, written, row, referred)
    _decide_run_row(rollback, held, referred)
    return rollback


def _decide_row(rollback: RunRollback, written: WrittenRow, row: HeldRow, referred: Collection[str]) -> None:
    key = written.key

    def keep(why: Why) -> None:
        rollback.kept.append(Kept(key.table, key.number, row.id, why))

    if written.operation is RowOperation.ADOPTED:
        rollback.existed += 1
        return
    if row.values is None:
        raise AssertionError(f"the row {row.id} was not read before it was judged")
    if row_sha256(row.values) != written.sha256:
        keep(Why.EDITED)
    elif written.before is not None:
        # Of an inserted row: somebody's edit, which a newer output overwrote.
        rollback.restores.append((key, row.id, written.before))
        if written.operation is RowOperation.INSERTED:
            keep(Why.EDIT_PUT_BACK)
    elif written.operation is RowOperation.UPDATED:
        raise AssertionError(f"the ledger holds no before-image of the row {row.id}")
    elif row.starred:
        keep(Why.STARRED)
    elif row.id in referred:
        keep(Why.REFERRED)
    else:
        rollback.deletes.append((key, row.id))


def _decide_run_row(rollback: RunRollback, held: HeldRun, referred: Collection[str]) -> None:
    run, record = held.run, held.record
    if run is None or record is None:
        return
    theirs = _changed_columns(held, record)
    if not record.inserted:
        image = record.before_image or {}
        columns = [name for name in record.written if name in image and name not in theirs]
        # Whoever changed a column set this time as well.
        if not theirs and "updatedAt" in image:
            columns.append("updatedAt")
        rollback.run_image = {name: image[name] for name in columns}
        rollback.run = RunAction.RESTORE if columns else RunAction.KEEP
        if theirs:
            rollback.kept.append(Kept("Run", 0, run.id, Why.CHANGED, ", ".join(theirs)))
        return
    going = {row_id for _, row_id in rollback.deletes}
    if any(row.id not in going for row in held.rows.values()):
        rollback.kept.append(Kept("Run", 0, run.id, Why.CARRIES))
    elif theirs:
        rollback.kept.append(Kept("Run", 0, run.id, Why.CHANGED, ", ".join(theirs)))
    elif run.id in referred:
        rollback.kept.append(Kept("Run", 0, run.id, Why.REFERRED))
    else:
        rollback.run = RunAction.DELETE


def _changed_columns(held: HeldRun, record: RunRecord) -> list[str]:
    """Return the columns that no longer hold what runferry wrote there."""
    if held.run is None:
        return []
    current = as_written(derived_values(held.run))
    return [name for name, value in record.written.items() if name in current and current[name] != value]
