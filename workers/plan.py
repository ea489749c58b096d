"""The plan of a transaction: every statement's values, decided before the first one runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.dead_letters.letter import DeadLetter
from shared.dead_letters.recording import SettledOutput
from shared.documents import Document, Sha256
from shared.frozen import frozen
from shared.ids import RunId, Stage
from shared.mapping.run_row import ColumnValue, RunRow
from shared.verdicts import Verdict
from workers.held_state import RunRecord
from workers.ledger import LedgerEntry, RowKey
from workers.stage_fold import HeldRow


@dataclass(frozen=True, slots=True)
class KeptDocuments:
    """Documents of one output that are stored as bytes."""

    run_id: RunId
    stage: Stage
    content_sha256: Sha256
    produced_at: datetime
    documents: tuple[Document, ...]
    superseded: bool


@frozen
class RowInsert:
    """A web-app row to insert; `created_at` is when its output was produced."""

    key: RowKey
    row: HeldRow
    user_id: str
    created_at: datetime


@frozen
class DeliveryRow:
    """What became of one message."""

    batch_id: str
    message_id: str
    run_id: str
    origin: str
    publisher: str
    published_at: datetime
    attempts: int
    verdicts: Mapping[str, str]
    gaps: Mapping[str, tuple[str, ...]]


@dataclass(slots=True)
class Plan:
    """Everything that one transaction writes."""

    moment: datetime
    run_inserts: list[RunRow] = field(default_factory=list)
    run_changes: list[tuple[RunId, Mapping[str, ColumnValue]]] = field(default_factory=list)
    row_inserts: list[RowInsert] = field(default_factory=list)
    row_updates: list[HeldRow] = field(default_factory=list)
    row_deletes: list[tuple[RowKey, str]] = field(default_factory=list)
    revived: list[RunId] = field(default_factory=list)
    ledger_inserts: list[LedgerEntry] = field(default_factory=list)
    ledger_updates: list[LedgerEntry] = field(default_factory=list)
    record_inserts: list[tuple[RunId, RunRecord]] = field(default_factory=list)
    record_updates: list[tuple[RunId, RunRecord]] = field(default_factory=list)
    forgotten_documents: list[tuple[RunId, Stage]] = field(default_factory=list)
    kept_documents: list[KeptDocuments] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    settled: list[SettledOutput] = field(default_factory=list)
    deliveries: list[DeliveryRow] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)  # ids of messages that somebody waits for

    @property
    def only_inserts(self) -> bool:
        """Whether nothing that is there changes, and no letter is filed or answered."""
        return not (
            self.run_changes
            or self.row_updates
            or self.row_deletes
            or self.revived
            or self.ledger_updates
            or self.record_updates
            or self.forgotten_documents
            or self.kept_documents
            or self.letters
            or self.settled
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message, as its actor is told."""

    verdicts: Mapping[Stage, Verdict]
