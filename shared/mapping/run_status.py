"""Run status on an existing row: advancing it to what was derived, without touching what others wrote there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from shared.mapping.run_row import (
    DERIVED_COLUMNS,
    ColumnValue,
    RunRow,
    RunStatus,
    as_written,
    derived_values,
)

_TIMES: Final = frozenset({"createdAt", "completedAt"})
#: What a status says more exactly; they change only together with it.
_OF_STATUS: Final = ("errorMessage", "completedAt")
_PROGRESS: Final = frozenset({"status", "currentStage", *_OF_STATUS})
_DESCRIPTIVE: Final = tuple(column for column in DERIVED_COLUMNS if column not in _PROGRESS)

#: From a status that somebody else wrote to the derived one; what is not here is refused.
FOREIGN_TRANSITIONS: Final[Mapping[tuple[RunStatus, RunStatus], str]] = {
    (RunStatus.PENDING, RunStatus.RUNNING): "The web app made the run, and the pipeline began.",
    (RunStatus.PENDING, RunStatus.COMPLETED): "All outputs came at once.",
    (RunStatus.PENDING, RunStatus.FAILED): "The pipeline gave up before its first output.",
    (RunStatus.RUNNING, RunStatus.COMPLETED): "The last output came.",
    (RunStatus.RUNNING, RunStatus.FAILED): "The pipeline gave up.",
    (RunStatus.FAILED, RunStatus.RUNNING): "Something came after the failure.",
    (RunStatus.FAILED, RunStatus.COMPLETED): "All that was missing came after the failure.",
}


def advance(current: RunRow, derived: RunRow, written: Mapping[str, JsonValue]) -> dict[str, ColumnValue]:
    """Return the changes to make on an existing row, by column.

    `written` is what runferry wrote there last, all columns where it inserted the row. A column that still holds
    it follows `derived`; one that somebody changed since is theirs. Of a row that runferry didn't insert, progress
    may change as well, from a status of theirs by `FOREIGN_TRANSITIONS`. `currentStage` never falls; the id and
    the user never change.
    """
    wanted = derived_values(derived)
    held, after = as_written(derived_values(current)), as_written(wanted)
    if held == after:
        return {}
    ours = frozenset(_still_ours(held, written))
    is_inserted = written.keys() >= frozenset(_DESCRIPTIVE)

    changing = [column for column in _DESCRIPTIVE if column in ours]
    if derived.current_stage > current.current_stage and ("currentStage" in ours or not is_inserted):
        changing.append("currentStage")
    is_transition = derived.status is not current.status
    if is_transition:
        is_allowed = not is_inserted and (current.status, derived.status) in FOREIGN_TRANSITIONS
        if "status" not in ours and not is_allowed:
            return _changes(changing, held, after, wanted)
        changing.append("status")
    for column in _OF_STATUS:
        if column in ours or (not is_inserted and (is_transition or held[column] is None)):
            changing.append(column)
    return _changes(changing, held, after, wanted)


def _still_ours(held: Mapping[str, JsonValue], written: Mapping[str, JsonValue]) -> Iterator[str]:
    for column, value in held.items():
        if column in written and value == _normal(column, written[column]):
            yield column


def _normal(column: str, value: JsonValue) -> JsonValue:
    if column in _TIMES and isinstance(value, str):
        return as_written({column: datetime.fromisoformat(value)})[column]
    return value


def _changes(
    columns: list[str],
    held: Mapping[str, JsonValue],
    after: Mapping[str, JsonValue],
    wanted: Mapping[str, ColumnValue],
) -> dict[str, ColumnValue]:
    return {column: wanted[column] for column in columns if held[column] != after[column]}
