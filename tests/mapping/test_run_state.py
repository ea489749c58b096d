"""The derived row of a run: every column from its best source, the same in every order of arrival."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import Origin
from shared.ids import RunId, Stage
from shared.mapping.run_evidence import Hint, RunEvidence
from shared.mapping.run_row import RunRow, RunStatus
from shared.mapping.run_state import AppliedStage, derive_run
from shared.rows import FactSource, OutputFacts

START = datetime(2025, 10, 7, 12, 0, tzinfo=UTC)
NOW = START + timedelta(days=3)
QUIET = timedelta(hours=24)
RUN = RunId("test-run-001")


def _applied(stage: int, minutes: float = 0, **facts: tuple[str, FactSource]) -> AppliedStage:
    produced_at = START + timedelta(minutes=minutes)
    return AppliedStage(Stage(stage), produced_at, OutputFacts(**facts), Origin.BACKFILL)


def _derive(*applied: AppliedStage, run_id: str = RUN, now: datetime = NOW, **evidence: Any) -> RunRow:
    dead = evidence.pop("dead", frozenset())
    return derive_run(RunId(run_id), "user-1", RunEvidence(**evidence), applied, dead, now, QUIET)


def test_a_run_of_which_nothing_is_known_has_the_plans_defaults() -> None:
    assert _derive() == RunRow(
        id=RUN,
        user_id="user-1",
        company_id="unknown",
        company_name="Unknown",
        document_name="migrated-document.pdf",
        document_url="https://migrated/test-run-001",
        status=RunStatus.RUNNING,
        current_stage=0,
        error_message=None,
        created_at=NOW,
        completed_at=None,
    )


CONTEXT = ("from-context", FactSource.CONTEXT_JSON)
FRONT_MATTER = ("from-front-matter", FactSource.FRONT_MATTER)
HINT = Hint(START, "from-hint")


@pytest.mark.parametrize(
    ("applied", "hint", "expected"),
    [
        ((_applied(4, company_id=CONTEXT), _applied(5, company_id=FRONT_MATTER)), HINT, "from-context"),
        ((_applied(5, company_id=FRONT_MATTER), _applied(4)), HINT, "from-front-matter"),
        ((_applied(4), _applied(5)), HINT, "from-hint"),
        ((_applied(4), _applied(5)), None, "unknown"),
        (
            (_applied(3, company_id=("three", FactSource.CONTEXT_JSON)), _applied(4, company_id=CONTEXT)),
            None,
            "from-context",
        ),
        ((_applied(4, company_id=("", FactSource.CONTEXT_JSON)),), HINT, "from-hint"),
    ],
)
def test_the_company_comes_from_the_best_source(
    applied: tuple[AppliedStage, ...], hint: Hint | None, expected: str
) -> None:
    assert _derive(*applied, company_id=hint).company_id == expected
    assert _derive(*reversed(applied), company_id=hint).company_id == expected


def test_a_hinted_company_that_no_index_entry_holds_is_no_company() -> None:
    assert _derive(company_id=Hint(START, "x" * 3000)).company_id == "unknown"


def test_the_company_name_is_the_id_in_title_case_unless_a_hint_says_it() -> None:
    applied = _applied(4, company_id=("lactalis-canada", FactSource.CONTEXT_JSON))
    assert _derive(applied).company_name == "Lactalis Canada"
    assert _derive(applied, company_name=Hint(START, "LACTALIS")).company_name == "LACTALIS"


def test_the_document_comes_from_front_matter_then_hint() -> None:
    stated = _applied(5, document_name=("report.pdf", FactSource.FRONT_MATTER))
    hint = Hint(START, "hinted.pdf")
    assert _derive(stated, document_name=hint).document_name == "report.pdf"
    assert _derive(_applied(5), document_name=hint).document_name == "hinted.pdf"
    assert _derive(document_url=Hint(START, "https://files/1")).document_url == "https://files/1"


@pytest.mark.parametrize(
    ("run_id", "created_at"),
    [
        ("savannah-bananas-lactalis-canada-20251007-121006", datetime(2025, 10, 7, 12, 10, 6, tzinfo=UTC)),
        ("20240229-235959", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("run-1761684318140-2849", datetime(2025, 10, 28, 20, 45, 18, 140_000, tzinfo=UTC)),
        ("run-1761684318140", datetime(2025, 10, 28, 20, 45, 18, 140_000, tzinfo=UTC)),
        ("a-20250229-121006", START),  # no such day
        ("a-20251007-246006", START),
        ("a-00010101-000000", START),
        ("a-99990101-000000", START),
        ("a-20251007-121006-again", START),
        ("a20251007-121006", START),
        ("a-20251007-121006\n", START),
        ("run-0000000000001-1", START),
        ("run-9999999999999-1", START),
        ("run-17616843181400-1", START),
        ("rerun-1761684318140-2849", START),
        ("a-\u0662\u0660\u0662\u0665\u0661\u0660\u0660\u0667-121006", START),
        ("test-run-001", START),
    ],
)
def test_a_run_was_created_when_its_id_says_else_with_its_oldest_document(
    run_id: str, created_at: datetime
) -> None:
    row = _derive(_applied(2, 30), run_id=run_id, oldest_document_at=START)
    assert row.created_at == created_at


def test_a_run_that_only_started_was_created_then() -> None:
    assert _derive(started_at=START, has_pipeline_event=True).created_at == START


def test_times_are_cut_to_milliseconds() -> None:
    moment = datetime(2025, 10, 7, 12, 0, 0, 999_999, tzinfo=UTC)
    applied = AppliedStage(Stage.OPPORTUNITIES, moment, OutputFacts(), Origin.BACKFILL)
    row = _derive(applied, oldest_document_at=moment)
    assert row.created_at == row.completed_at == moment.replace(microsecond=999_000)


def test_a_completed_run_was_completed_with_its_newest_output() -> None:
    row = _derive(_applied(5, 10), _applied(4, 20), stages_at_source=frozenset({Stage(4), Stage(5)}))
    assert (row.status, row.current_stage) == (RunStatus.COMPLETED, 5)
    assert row.completed_at == START + timedelta(minutes=20)


def test_a_run_is_at_its_highest_applied_stage() -> None:
    assert _derive(_applied(3), _applied(1)).current_stage == 3


def test_a_pipeline_output_makes_a_run_a_pipelines_even_where_its_evidence_is_lost() -> None:
    output = AppliedStage(Stage.TRENDS, START, OutputFacts(), Origin.PIPELINE)
    row = _derive(output, stages_at_source=frozenset({Stage.TRENDS}))
    assert row.status is RunStatus.RUNNING


facts = st.builds(
    OutputFacts,
    company_id=st.one_of(st.none(), st.tuples(st.sampled_from("abc"), st.sampled_from(FactSource))),
    document_name=st.one_of(st.none(), st.tuples(st.sampled_from("abc"), st.sampled_from(FactSource))),
)
moments = st.integers(0, 6).map(lambda minutes: START + timedelta(minutes=minutes))
pieces = st.lists(
    st.builds(
        RunEvidence,
        company_id=st.one_of(st.none(), st.builds(Hint, moments, st.sampled_from("xyz"))),
        stages_at_source=st.frozensets(st.sampled_from(Stage)),
        started_at=st.one_of(st.none(), moments),
        failed_at=st.one_of(st.none(), moments),
        has_pipeline_event=st.booleans(),
        oldest_document_at=st.one_of(st.none(), moments),
    ),
    max_size=5,
)
applied_sets = st.dictionaries(st.sampled_from(Stage), st.tuples(moments, facts)).map(
    lambda found: [AppliedStage(stage, at, facts, Origin.BACKFILL) for stage, (at, facts) in found.items()]
)


@given(pieces, applied_sets, st.frozensets(st.sampled_from(Stage)), st.randoms(use_true_random=False))
def test_the_row_is_the_same_in_every_order_of_arrival(
    evidence: list[RunEvidence], applied: list[AppliedStage], dead: frozenset[Stage], random: Any
) -> None:
    def derive() -> RunRow:
        merged = reduce(RunEvidence.merge, evidence, RunEvidence())
        return derive_run(RUN, "user-1", merged, applied, dead, NOW, QUIET)

    before = derive()
    random.shuffle(evidence)
    random.shuffle(applied)
    evidence.extend(evidence[:2])
    assert derive() == before
    assert (before.completed_at is not None) == (before.status is RunStatus.COMPLETED)
    assert (before.error_message is not None) == (before.status is RunStatus.FAILED)
