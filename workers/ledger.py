"""The ledger: what is applied per run and stage, with the rows that it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from shared.contract import Origin
from shared.documents import Sha256
from shared.frozen import frozen
from shared.ids import STAGES, RunId, Stage
from shared.mapping.manifest import ManifestText
from shared.rows import FactSource, OutputFacts
from workers.ordering import Authority, OrderKey


class Table(StrEnum):
    """The web app's tables that an output becomes rows of."""

    STAGE_OUTPUT = "StageOutput"
    INSPIRATION_REPORT = "InspirationReport"
    OPPORTUNITY_CARD = "OpportunityCard"

    # Enum's own hash is a Python function; tables are part of every row's key.
    __hash__ = str.__hash__


class RowKey(NamedTuple):
    """A row within its run: a table, and the stage's or card's number (0 where a run has one row)."""

    table: Table
    number: int


class RowOperation(StrEnum):
    """How a row came to hold what the output says."""

    INSERTED = "inserted"
    UPDATED = "updated"  # it was there before runferry
    ADOPTED = "adopted"  # it was there and said the same


@frozen
class WrittenRow:
    """A row that an output wrote: the hash of its values as written, and what it overwrote that wasn't ours.

    `filled_at` is when it was put back by itself, None where it was written with the others of its output.
    """

    key: RowKey
    id: str
    operation: RowOperation
    sha256: str
    before: Mapping[str, Any] | None = None
    filled_at: datetime | None = None


@frozen
class LedgerEntry:
    """One row of `runferry.ledger`."""

    run_id: RunId
    stage: Stage
    content_sha256: Sha256
    produced_at: datetime
    origin: Origin
    authority: Authority
    manifest: ManifestText
    gaps: tuple[str, ...]
    facts: OutputFacts
    mends: frozenset[Sha256]
    settled: frozenset[Sha256]
    written: tuple[WrittenRow, ...]
    batch_id: str
    message_id: str
    times_applied: int
    #: Only missing rows were put back: the others were written when they were. It is not kept.
    is_filled: bool = False

    @property
    def key(self) -> OrderKey:
        """The place of the applied output among all outputs of its run and stage."""
        return OrderKey(self.authority, self.produced_at, self.content_sha256)


#: The columns of `runferry.ledger` in the order of `record_of`, each with its type; `applied_at` has a default.
COLUMNS: Final = {
    "run_id": "text",
    "stage": "smallint",
    "content_sha256": "text",
    "produced_at": "timestamptz",
    "origin": "text",
    "authority": "smallint",
    "manifest": "jsonb",
    "gaps": "jsonb",
    "facts": "jsonb",
    "mends": "text[]",
    "settled": "text[]",
    "rows_written": "jsonb",
    "batch_id": "text",
    "message_id": "text",
    "times_applied": "integer",
}


def record_of(entry: LedgerEntry) -> tuple[Any, ...]:
    """Return the entry as values of `COLUMNS`."""
    return (
        entry.run_id,
        # The enums are ints and texts themselves; reading `.value` eleven times a row is what costs.
        entry.stage,
        entry.content_sha256,
        entry.produced_at,
        entry.origin,
        entry.authority,
        entry.manifest,
        _json(entry.gaps),
        _json(_facts_json(entry.facts)),
        sorted(entry.mends),
        sorted(entry.settled),
        _json([_written_json(row) for row in entry.written]),
        entry.batch_id,
        entry.message_id,
        entry.times_applied,
    )


def entry_of(record: Mapping[str, Any]) -> LedgerEntry:
    """Return the entry that a row of `runferry.ledger` holds."""
    return LedgerEntry(
        run_id=RunId(record["run_id"]),
        stage=STAGES[record["stage"]],
        content_sha256=Sha256(record["content_sha256"]),
        produced_at=record["produced_at"],
        origin=_ORIGINS[record["origin"]],
        authority=_AUTHORITIES[record["authority"]],
        manifest=ManifestText(record["manifest"]),
        gaps=() if record["gaps"] == "[]" else tuple(orjson.loads(record["gaps"])),
        facts=_NO_FACTS if record["facts"] == "{}" else _facts_of(orjson.loads(record["facts"])),
        mends=frozenset(record["mends"]),
        settled=frozenset(record["settled"]),
        written=tuple([_written_of(row) for row in orjson.loads(record["rows_written"])]),
        batch_id=record["batch_id"],
        message_id=record["message_id"],
        times_applied=record["times_applied"],
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _written_json(row: WrittenRow) -> dict[str, Any]:
    value: dict[str, Any] = {
        "table": row.key.table,
        "number": row.key.number,
        "id": row.id,
        "op": row.operation,
        "sha256": row.sha256,
    }
    if row.before is not None:
        value["before"] = row.before
    if row.filled_at is not None:
        value["filled_at"] = row.filled_at
    return value


def _written_of(value: Mapping[str, Any]) -> WrittenRow:
    filled_at = value.get("filled_at")
    return WrittenRow(
        RowKey(TABLES[value["table"]], value["number"]),
        value["id"],
        _OPERATIONS[value["op"]],
        value["sha256"],
        value.get("before"),
        None if filled_at is None else datetime.fromisoformat(filled_at),
    )


# Enum's own look-up is a chain of Python functions, and an entry has a dozen of them.
_AUTHORITIES: Final = {authority.value: authority for authority in Authority}
_ORIGINS: Final = {origin.value: origin for origin in Origin}
TABLES: Final = {table.value: table for table in Table}
_OPERATIONS: Final = {operation.value: operation for operation in RowOperation}


def _facts_json(facts: OutputFacts) -> dict[str, Any]:
    return {
        name: [fact[0], fact[1]]
        for name, fact in (("company_id", facts.company_id), ("document_name", facts.document_name))
        if fact is not None
    }


def _facts_of(value: Mapping[str, Any]) -> OutputFacts:
    return OutputFacts(
        **{name: (text, FactSource(source)) for name, (text, source) in value.items()},
    )


_NO_FACTS: Final = OutputFacts()
