"""Held: everything that the database says about some runs, read in one snapshot and locking nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from shared.dead_letters.marks import LetterMark, letter_marks
from shared.documents import Sha256
from shared.ids import RunId, Stage
from shared.mapping.run_row import RunRow
from shared.sql import load_queries
from workers.ledger import LedgerEntry, RowKey, Table, entry_of
from workers.row_images import card_of, report_of, run_row_of, stage_output_of
from workers.stage_fold import HeldRow

QUERIES: Final = load_queries("workers.reconciling")
_REPORT: Final = RowKey(Table.INSPIRATION_REPORT, 0)


@dataclass(slots=True)
class StageHeld:
    """One stage of one run. `changed_at` has the web app's time of the last change, in UTC without a zone,
    for rows that keep one.

    `kept` are the documents of the applied output that are kept as bytes, by name, `copies` those of others, by the
    hash of their output; each as the hash of what is kept.
    """

    entry: LedgerEntry | None = None
    applied_at: datetime | None = None
    rows: dict[RowKey, HeldRow] = field(default_factory=dict)
    changed_at: dict[RowKey, datetime] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    copies: dict[Sha256, dict[str, str]] = field(default_factory=dict)
    letters: dict[Sha256, LetterMark] = field(default_factory=dict)


@dataclass(slots=True)
class RunHeld:
    """One run. `written` holds the columns that runferry wrote last into its "Run" row, None where it knows nothing."""

    run: RunRow | None = None
    written: Mapping[str, Any] | None = None
    stages: dict[Stage, StageHeld] = field(default_factory=lambda: {stage: StageHeld() for stage in Stage})

    @property
    def is_deleted(self) -> bool:
        """The web app deleted it: runferry knows the run, but its row is gone."""
        return self.run is None and self.written is not None


async def read_held(connection: asyncpg.Connection, run_ids: Iterable[RunId]) -> dict[RunId, RunHeld]:
    """Return what is held of these runs, as of one moment."""
    ids = sorted(run_ids)
    held = {run_id: RunHeld() for run_id in ids}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for record in await connection.fetch(QUERIES["runs"], ids):
            held[record["id"]].run = run_row_of(record)
        for record in await connection.fetch(QUERIES["records"], ids):
            held[record["run_id"]].written = orjson.loads(record["written"])
        for record in await connection.fetch(QUERIES["ledger"], ids):
            stage = held[record["run_id"]].stages[record["stage"]]  # a stage is its number
            stage.entry, stage.applied_at = entry_of(record), record["applied_at"]
        for record in await connection.fetch(QUERIES["stage_outputs"], ids):
            number = record["stageNumber"]
            stage = held[record["runId"]].stages[number]
            stage.rows[RowKey(Table.STAGE_OUTPUT, number)] = HeldRow(record["id"], stage_output_of(record))
        for record in await connection.fetch(QUERIES["reports"], ids):
            stage = held[record["runId"]].stages[Stage.INSPIRATIONS]
            stage.rows[_REPORT] = HeldRow(record["id"], report_of(record))
            stage.changed_at[_REPORT] = record["updatedAt"]
        for record in await connection.fetch(QUERIES["cards"], ids):
            key = RowKey(Table.OPPORTUNITY_CARD, record["number"])
            stage = held[record["runId"]].stages[Stage.OPPORTUNITIES]
            stage.rows[key] = HeldRow(record["id"], card_of(record), record["starred"])
            stage.changed_at[key] = record["updatedAt"]
        for record in await connection.fetch(QUERIES["documents"], ids):
            stage = held[record["run_id"]].stages[record["stage"]]
            is_applied = stage.entry is not None and stage.entry.content_sha256 == record["content_sha256"]
            if is_applied and not record["superseded"]:
                stage.kept[record["name"]] = record["sha256"]
            stage.copies.setdefault(Sha256(record["content_sha256"]), {})[record["name"]] = record["sha256"]
        for (run_id, number), marks in (await letter_marks(connection, ids)).items():
            if number:
                held[run_id].stages[Stage(number)].letters = {mark.content_sha256: mark for mark in marks}
    return held
