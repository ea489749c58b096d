"""Advancing an existing "Run": what runferry wrote follows what is derived, what others wrote is theirs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import RunId
from shared.mapping.run_row import DERIVED_COLUMNS, RunRow, RunStatus, as_written, derived_values
from shared.mapping.run_status import FOREIGN_TRANSITIONS, advance

START = datetime(2025, 10, 7, 12, 0, tzinfo=UTC)
PROGRESS = {"status", "currentStage", "errorMessage", "completedAt"}

BASE = RunRow(
    id=RunId("run-1"),
    user_id="user-1",
    company_id="unknown",
    company_name="Unknown",
    document_name="migrated-document.pdf",
    document_url="https://migrated/run-1",
    status=RunStatus.RUNNING,
    current_stage=3,
    error_message=None,
    created_at=START,
    completed_at=None,
)
DONE = replace(
    BASE,
    company_id="lactalis-canada",
    company_name="Lactalis Canada",
    document_name="report.pdf",
    status=RunStatus.COMPLETED,
    current_stage=5,
    created_at=START - timedelta(hours=1),
    completed_at=START + timedelta(hours=1),
)

texts = st.sampled_from(["a", "b", "unknown"])
moments = st.integers(0, 2).map(lambda hours: START + timedelta(hours=hours))
derived_rows = st.builds(
    lambda status, moment, **columns: RunRow(
        **columns,
        status=status,
        error_message="failed" if status is RunStatus.FAILED else None,
        completed_at=moment if status is RunStatus.COMPLETED else None,
    ),
    st.sampled_from([RunStatus.RUNNING, RunStatus.COMPLETED, RunStatus.FAILED]),
    moments,
    id=st.just(BASE.id),
    user_id=st.just(BASE.user_id),
    company_id=texts,
    company_name=texts,
    document_name=texts,
    document_url=texts,
    current_stage=st.integers(0, 5),
    created_at=moments,
)


def _advanced(row: RunRow, changes: dict[str, Any]) -> RunRow:
    return replace(row, **{DERIVED_COLUMNS[column]: value for column, value in changes.items()})


def _written(row: RunRow) -> dict[str, Any]:
    return as_written(derived_values(row))


def test_a_row_that_runferry_inserted_follows_what_is_derived() -> None:
    assert _advanced(BASE, advance(BASE, DONE, _written(BASE))) == DONE


def test_a_row_that_is_right_is_not_changed() -> None:
    assert advance(DONE, DONE, _written(DONE)) == {}
    assert advance(DONE, DONE, {}) == {}


def test_only_what_differs_is_changed() -> None:
    derived = replace(BASE, document_name="report.pdf")
    assert advance(BASE, derived, _written(BASE)) == {"documentName": "report.pdf"}


@pytest.mark.parametrize(
    "attribute", ["company_id", "company_name", "document_name", "document_url", "error_message"]
)
def test_what_somebody_changed_since_is_theirs(attribute: str) -> None:
    edited = replace(BASE, **{attribute: "edited"})
    changes = advance(edited, DONE, _written(BASE))
    assert getattr(_advanced(edited, changes), attribute) == "edited"
    assert changes["status"] is RunStatus.COMPLETED


def test_a_status_that_somebody_changed_stays_with_all_that_belongs_to_it() -> None:
    edited = replace(BASE, status=RunStatus.FAILED, error_message="stopped by me")
    changes = advance(edited, DONE, _written(BASE))
    assert changes.keys() & {"status", "errorMessage", "completedAt"} == set()


def test_of_a_row_that_the_web_app_made_only_progress_changes() -> None:
    made = replace(BASE, company_id="app", status=RunStatus.PENDING, current_stage=0)
    assert advance(made, DONE, {}) == {
        "status": RunStatus.COMPLETED,
        "currentStage": 5,
        "completedAt": DONE.completed_at,
    }


@pytest.mark.parametrize(("held", "wanted"), list(itertools.product(RunStatus, RunStatus)))
def test_a_status_that_others_wrote_moves_only_by_the_table(held: RunStatus, wanted: RunStatus) -> None:
    current = replace(BASE, status=held)
    changes = advance(current, replace(BASE, status=wanted), {})
    assert ("status" in changes) == ((held, wanted) in FOREIGN_TRANSITIONS)


def test_what_others_completed_stays_completed() -> None:
    assert not any(held is RunStatus.COMPLETED for held, _ in FOREIGN_TRANSITIONS)
    theirs = replace(DONE, completed_at=START + timedelta(days=9))
    assert advance(theirs, replace(DONE, status=RunStatus.FAILED, error_message="x", completed_at=None), {}) == {}
    assert advance(theirs, DONE, {}) == {}


def test_a_failure_of_theirs_keeps_their_words_until_it_is_over() -> None:
    failed = replace(BASE, status=RunStatus.FAILED, error_message="app error")
    again = replace(BASE, status=RunStatus.FAILED, error_message="The source ends early.")
    assert advance(failed, again, {}) == {}
    assert advance(failed, BASE, {}) == {"status": RunStatus.RUNNING, "errorMessage": None}


def test_a_row_runferry_failed_runs_and_completes_as_more_arrives() -> None:
    failed = replace(BASE, status=RunStatus.FAILED, error_message="The source ends early.")
    running = advance(failed, BASE, _written(failed))
    assert running == {"status": RunStatus.RUNNING, "errorMessage": None}
    assert _advanced(BASE, advance(BASE, DONE, _written(BASE))).status is RunStatus.COMPLETED


def test_times_compare_however_they_were_stored() -> None:
    stored = orjson.loads(orjson.dumps({**derived_values(BASE)}))
    naive = replace(BASE, created_at=BASE.created_at.replace(tzinfo=None))
    assert "createdAt" in advance(naive, DONE, stored)
    assert "createdAt" in advance(BASE, DONE, {**stored, "createdAt": "2025-10-07T14:00:00.000400+02:00"})


@given(derived_rows, derived_rows, st.booleans())
def test_the_current_stage_never_falls(current: RunRow, derived: RunRow, is_ours: bool) -> None:
    changes = advance(current, derived, _written(current) if is_ours else {})
    assert _advanced(current, changes).current_stage == max(current.current_stage, derived.current_stage)


@given(derived_rows, derived_rows, st.booleans())
def test_advancing_twice_changes_nothing_more(current: RunRow, derived: RunRow, is_ours: bool) -> None:
    written = _written(current) if is_ours else {}
    changes = advance(current, derived, written)
    assert advance(_advanced(current, changes), derived, {**written, **as_written(changes)}) == {}


@given(derived_rows, derived_rows)
def test_of_a_row_that_others_made_nothing_but_progress_ever_changes(current: RunRow, derived: RunRow) -> None:
    assert advance(current, derived, {}).keys() <= PROGRESS


@given(st.lists(derived_rows, min_size=1, max_size=5), st.booleans())
def test_the_way_to_the_last_derived_row_does_not_matter(steps: list[RunRow], is_inserted: bool) -> None:
    last = replace(steps[-1], current_stage=max(step.current_stage for step in steps))
    made = replace(BASE, status=RunStatus.PENDING, current_stage=0)

    def walk(rows: list[RunRow]) -> RunRow:
        row = rows[0] if is_inserted else made
        written = _written(row) if is_inserted else {}
        for derived in rows:
            changes = advance(row, derived, written)
            row, written = _advanced(row, changes), {**written, **as_written(changes)}
        return row

    assert walk([*steps, last]) == walk([last])
