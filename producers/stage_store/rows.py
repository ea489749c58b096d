"""Outputs in the rows: read back as the documents that became them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from shared.documents import Document, Sha256
from shared.ids import RunId, Stage
from shared.mapping.manifest import ManifestText, names_in
from shared.mapping.restored import restore
from shared.rows import StageOutputRow
from shared.sql import load_queries

QUERIES: Final = load_queries("producers.stage_store")


@dataclass(frozen=True, slots=True)
class RowsOutput:
    """An applied output."""

    documents: tuple[Document, ...]
    content_sha256: Sha256
    produced_at: datetime


async def read_rows(pool: asyncpg.Pool, run_id: RunId, stage: Stage) -> RowsOutput | None:
    """Return what the rows hold of a run and stage; None where runferry wrote nothing there, or it is gone.

    Raises NotRestorable where somebody changed the rows so that their documents can't be told any more.
    """
    record = await pool.fetchrow(QUERIES["output"], run_id, int(stage))
    if record is None or not record["has_row"] or not record["content_sha256"]:
        return None
    return RowsOutput(restored(record, run_id, stage), Sha256(record["content_sha256"]), record["produced_at"])


def restored(record: Any, run_id: RunId, stage: Stage) -> tuple[Document, ...]:
    """Return the documents that a record of the query `output` holds; raises NotRestorable."""
    kept = [
        Document(name, content)
        for name, content in zip(record["kept_names"], record["kept_contents"], strict=True)
    ]
    row = StageOutputRow(run_id, stage, record["markdown"], record["json"])
    return restore(row, kept, names_in(ManifestText(record["manifest"])))
