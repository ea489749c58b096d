"""The web app's "Run" row: its columns as the writer inserts and advances them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import JsonValue

from shared.frozen import frozen
from shared.ids import RunId
from shared.mapping.moments import whole_milliseconds

ColumnValue = str | int | datetime | None


class RunStatus(StrEnum):
    """The web app's enum "RunStatus"."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@frozen
class RunRow:
    """One row of "Run", without `updatedAt`, which the writer sets; times are UTC in whole milliseconds."""

    id: RunId
    user_id: str
    company_id: str
    company_name: str
    document_name: str
    document_url: str
    status: RunStatus
    current_stage: int
    error_message: str | None
    created_at: datetime
    completed_at: datetime | None


#: Column -> attribute, of all columns that are derived; a row's id and its user are given.
DERIVED_COLUMNS: Final[Mapping[str, str]] = {
    "companyId": "company_id",
    "companyName": "company_name",
    "documentName": "document_name",
    "documentUrl": "document_url",
    "status": "status",
    "currentStage": "current_stage",
    "errorMessage": "error_message",
    "createdAt": "created_at",
    "completedAt": "completed_at",
}


def derived_values(row: RunRow) -> dict[str, ColumnValue]:
    """Return the values of the derived columns, by column name."""
    return {column: getattr(row, attribute) for column, attribute in DERIVED_COLUMNS.items()}


def as_written(values: Mapping[str, ColumnValue]) -> dict[str, JsonValue]:
    """Return column values as `runferry.run` keeps them in `written`: JSON values, times as ISO 8601 in UTC."""
    return {column: _json_of(value) for column, value in values.items()}


def _json_of(value: ColumnValue) -> JsonValue:
    if isinstance(value, datetime):
        return whole_milliseconds(value).isoformat(timespec="milliseconds")
    return value.value if isinstance(value, RunStatus) else value
