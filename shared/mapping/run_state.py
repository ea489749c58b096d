"""The state of a run: its "Run" row, derived from the evidence about it and the outputs that are applied."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from shared.contract import Origin
from shared.formats.limits import MAX_COMPANY_ID_BYTES
from shared.frozen import frozen
from shared.ids import RunId, Stage
from shared.mapping.facts import merge_facts, with_fallbacks
from shared.mapping.moments import whole_milliseconds
from shared.mapping.run_evidence import Hint, RunEvidence
from shared.mapping.run_row import RunRow, RunStatus
from shared.mapping.run_standing import RunProgress, standing_of
from shared.mapping.run_time import time_in_run_id
from shared.rows import OutputFacts

__all__ = ["AppliedStage", "Hint", "RunEvidence", "RunRow", "RunStatus", "derive_run"]

UNKNOWN_COMPANY: Final = "unknown"
UNKNOWN_DOCUMENT: Final = "migrated-document.pdf"
MIGRATED_URL: Final = "https://migrated/"


@frozen
class AppliedStage:
    """An output whose rows are there: when it was produced, what it states, who sent it."""

    stage: Stage
    produced_at: datetime
    facts: OutputFacts
    origin: Origin


def derive_run(
    run_id: RunId,
    user_id: str,
    evidence: RunEvidence,
    applied: Iterable[AppliedStage],
    dead_stages: frozenset[Stage],
    now: datetime,
    quiet: timedelta,
) -> RunRow:
    """Return the row that everything known about a run amounts to, whatever the order in which it became known.

    `dead_stages` are those with a dead letter that nothing answered. A source that ends early counts as failed
    when its newest document is older than `quiet` at `now`.
    """
    outputs = tuple(applied)
    facts = merge_facts((output.stage, output.facts) for output in outputs)
    company_id = with_fallbacks(facts.company_id, hint=_company_hint(evidence), guess=UNKNOWN_COMPANY)
    last_applied_at = max((output.produced_at for output in outputs), default=None)
    standing = standing_of(
        RunProgress(
            applied=frozenset(output.stage for output in outputs),
            dead=dead_stages,
            at_source=evidence.stages_at_source,
            last_applied_at=last_applied_at,
            started_at=evidence.started_at,
            failed_at=evidence.failed_at,
            error=evidence.error,
            has_pipeline_event=evidence.has_pipeline_event
            or any(output.origin is Origin.PIPELINE for output in outputs),
            idle=now - (last_applied_at or evidence.oldest_document_at or now),
        ),
        quiet,
    )
    is_completed = standing.status is RunStatus.COMPLETED and last_applied_at is not None
    return RunRow(
        id=run_id,
        user_id=user_id,
        company_id=company_id,
        company_name=_value(evidence.company_name) or title_case(company_id),
        document_name=with_fallbacks(
            facts.document_name, hint=_value(evidence.document_name), guess=UNKNOWN_DOCUMENT
        ),
        document_url=_value(evidence.document_url) or f"{MIGRATED_URL}{run_id}",
        status=standing.status,
        current_stage=max((output.stage.value for output in outputs), default=0),
        error_message=standing.error_message,
        created_at=whole_milliseconds(time_in_run_id(run_id) or _first_known(evidence, outputs) or now),
        completed_at=whole_milliseconds(last_applied_at) if is_completed and last_applied_at else None,
    )


def title_case(company_id: str) -> str:
    """Return the company's name as its id spells it: "lactalis-canada" is "Lactalis Canada"."""
    return company_id.replace("-", " ").title()


def _value(hint: Hint | None) -> str | None:
    return None if hint is None else hint.value


def _company_hint(evidence: RunEvidence) -> str | None:
    """Return the company that a message hinted at, unless its column's index could not hold it."""
    hinted = _value(evidence.company_id)
    return hinted if hinted is not None and len(hinted.encode()) <= MAX_COMPANY_ID_BYTES else None


def _first_known(evidence: RunEvidence, outputs: tuple[AppliedStage, ...]) -> datetime | None:
    moments = [evidence.oldest_document_at, evidence.started_at, evidence.failed_at]
    return min((moment for moment in (*moments, *(o.produced_at for o in outputs)) if moment), default=None)
