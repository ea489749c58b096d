"""Keeping: whether PostgreSQL alone could give an output on disk back, or whether only the file holds it."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from shared.comparing import compared
from shared.dead_letters.evidence import output_of
from shared.documents import Document, Sha256, content_sha256
from shared.errors import Malformed
from shared.ids import RunId, Stage
from shared.mapping.manifest import is_manifest_of
from shared.rows import StageOutputRow
from workers.ledger import RowKey, Table
from workers.reconciling.held import QUERIES, RunHeld, StageHeld
from workers.reconciling.judging import OutputOnDisk

#: The identity of a dead letter.
LetterKey = tuple[RunId, Stage, Sha256]


def gives_back(output: OutputOnDisk, run: RunHeld) -> bool:
    """Return whether rows, or documents that are kept as bytes, give the output back; letters are not looked at."""
    held = run.stages[output.stage]
    copies = held.copies.get(output.content_sha256, {})
    return _are_kept(output.documents, copies) or _rows_give_back(output, held)


def _rows_give_back(output: OutputOnDisk, held: StageHeld) -> bool:
    """Documents are made again from "StageOutput", the ledger's manifest and the kept ones; cards are not needed."""
    entry = held.entry
    if isinstance(output.mapped, Malformed) or entry is None or entry.content_sha256 != output.content_sha256:
        return False
    row = held.rows.get(RowKey(Table.STAGE_OUTPUT, output.stage.value))
    if row is None or not isinstance(row.values, StageOutputRow):
        return False
    return (
        compared(output.mapped.stage_output, row.values)[1]
        and _are_kept(output.mapped.kept_documents, held.kept)
        and is_manifest_of(entry.manifest, output.documents)
    )


def _are_kept(documents: Sequence[Document], kept: dict[str, str]) -> bool:
    return all(kept.get(document.name) == document.sha256 for document in documents)


async def letters_that_give_back(connection: asyncpg.Connection, letter_ids: Sequence[int]) -> set[LetterKey]:
    """Return which dead letters hold the very documents that died: their bytes are hashed, not believed."""
    found: set[LetterKey] = set()
    for letter_id in letter_ids:  # one at a time: each may have megabytes
        for record in await connection.fetch(QUERIES["payloads"], [letter_id]):
            sha256 = Sha256(record["content_sha256"])
            if _sha256_in(record["payload"]) == sha256:
                found.add((RunId(record["run_id"]), Stage(record["stage"]), sha256))
    return found


def _sha256_in(payload: bytes) -> Sha256 | None:
    try:
        return content_sha256([body.document() for body in output_of(payload).documents])
    except ValueError:
        return None
