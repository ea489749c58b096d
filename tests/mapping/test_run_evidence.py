"""Evidence grows in any order to the same whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import Hints, Origin, OutputBody, RunFailed, RunStarted, StageOutputsMessage
from shared.documents import Document
from shared.ids import Stage
from shared.mapping.run_state import Hint, RunEvidence

START = datetime(2025, 10, 7, 12, 0, tzinfo=UTC)

moments = st.integers(0, 4).map(lambda minutes: START + timedelta(minutes=minutes, microseconds=minutes))
hints = st.one_of(st.none(), st.builds(Hint, moments, st.sampled_from(["a", "b", "\u00e9"])))
failures = st.one_of(st.just((None, "")), st.tuples(moments, st.sampled_from(["", "boom", "bang"])))
evidence = failures.flatmap(
    lambda failure: st.builds(
        RunEvidence,
        user_id=hints,
        company_id=hints,
        company_name=hints,
        document_name=hints,
        document_url=hints,
        stages_at_source=st.frozensets(st.sampled_from(Stage)),
        started_at=st.one_of(st.none(), moments),
        failed_at=st.just(failure[0]),
        error=st.just(failure[1]),
        has_pipeline_event=st.booleans(),
        oldest_document_at=st.one_of(st.none(), moments),
    )
)


@given(evidence, evidence)
def test_merging_is_commutative(one: RunEvidence, other: RunEvidence) -> None:
    assert one.merge(other) == other.merge(one)


@given(evidence, evidence, evidence)
def test_merging_is_associative(one: RunEvidence, two: RunEvidence, three: RunEvidence) -> None:
    assert one.merge(two).merge(three) == one.merge(two.merge(three))


@given(evidence)
def test_merging_is_idempotent_and_nothing_is_neutral(one: RunEvidence) -> None:
    assert one.merge(one) == one
    assert one.merge(RunEvidence()) == one


@given(evidence)
def test_evidence_survives_json(one: RunEvidence) -> None:
    assert RunEvidence.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert RunEvidence.from_json(orjson.loads(orjson.dumps(one.to_json()))) == one


def test_the_hint_that_was_published_later_wins() -> None:
    early = RunEvidence(company_id=Hint(START, "zebra"))
    late = RunEvidence(company_id=Hint(START + timedelta(seconds=1), "ant"))
    assert late.merge(early).company_id == late.company_id


def test_of_hints_of_one_moment_the_greater_wins() -> None:
    one, other = RunEvidence(company_id=Hint(START, "a")), RunEvidence(company_id=Hint(START, "b"))
    assert one.merge(other).company_id == Hint(START, "b")


def test_the_error_is_that_of_the_latest_failure() -> None:
    early = RunEvidence(failed_at=START, error="zzz")
    late = RunEvidence(failed_at=START + timedelta(seconds=1), error="")
    assert early.merge(late) == late


def _outputs(origin: Origin, *moments: datetime, hints: Hints | None = None) -> StageOutputsMessage:
    return StageOutputsMessage(
        run_id="run-1",
        publisher="host:1",
        published_at=START,
        origin=origin,
        batch_id="batch",
        outputs=tuple(OutputBody.of(Stage.TRENDS, (Document("a.md", b"a"),), moment) for moment in moments),
        hints=hints or Hints(),
    )


def test_outputs_tell_their_oldest_time_and_hints() -> None:
    hints = Hints(user_id="user_1", document_name="", stages_at_source=(Stage.TRENDS,))
    found = RunEvidence.of(_outputs(Origin.BACKFILL, START + timedelta(hours=1), START, hints=hints))
    assert found == RunEvidence(
        user_id=Hint(START, "user_1"), stages_at_source=frozenset({Stage.TRENDS}), oldest_document_at=START
    )


def test_only_a_pipeline_makes_pipeline_events() -> None:
    assert RunEvidence.of(_outputs(Origin.PIPELINE, START)).has_pipeline_event
    assert not RunEvidence.of(_outputs(Origin.REPAIR, START)).has_pipeline_event
    replay = _outputs(Origin.REPLAY, START).model_copy(update={"replay_of": Origin.PIPELINE})
    assert RunEvidence.of(replay).has_pipeline_event
    started = RunStarted(run_id="r", publisher="p", published_at=START, occurred_at=START)
    assert RunEvidence.of(started) == RunEvidence(has_pipeline_event=True, started_at=START)


def test_what_postgresql_cannot_store_never_becomes_evidence() -> None:
    hints = Hints(company_id="a\0b", company_name="A")
    failed = RunFailed(
        run_id="r", publisher="p", published_at=START, occurred_at=START, error="boom \0", hints=hints
    )
    found = RunEvidence.of(failed)
    assert found.company_id is None
    assert found.company_name == Hint(START, "A")
    assert found.error == "boom \ufffd"
