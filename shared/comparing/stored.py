"""Stored rows: what the web app's tables hold of one stage output, read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.comparing.row_hash import Row, row_sha256
from shared.documents import Sha256
from shared.rows import InspirationReportRow, OpportunityCardRow, StageOutputRow

RowT = TypeVar("RowT", bound=Row, covariant=True)


@dataclass(frozen=True, slots=True)
class StoredRow(Generic[RowT]):
    """A row with what the comparing of values leaves aside.

    `recorded_sha256` is the hash of its values as runferry wrote them, from the ledger; None where it has none.
    """

    id: str
    values: RowT
    recorded_sha256: Sha256 | None = None
    starred: bool = False

    @property
    def is_edited(self) -> bool:
        """Somebody changed the values since runferry wrote them."""
        return self.recorded_sha256 is not None and row_sha256(self.values) != self.recorded_sha256


@dataclass(frozen=True, slots=True)
class StoredRows:
    """All rows of one stage of a run."""

    stage_output: StoredRow[StageOutputRow] | None = None
    report: StoredRow[InspirationReportRow] | None = None
    cards: tuple[StoredRow[OpportunityCardRow], ...] = ()
