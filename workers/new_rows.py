"""New rows: what a plan inserts, as records of the web app's tables and of runferry's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, assert_never

import orjson

from shared.mapping.run_row import RunRow
from shared.rows import InspirationReportRow, OpportunityCardRow, StageOutputRow
from workers.insertion import WRITTEN_AT, Record, Target
from workers.ledger import COLUMNS as LEDGER_COLUMNS
from workers.ledger import record_of
from workers.plan import DeliveryRow, Plan, RowInsert
from workers.row_values import card_values, naive_utc, report_values, run_record_values

_RUN: Final = Target(
    "Run",
    {
        "id": "text",
        "userId": "text",
        "companyId": "text",
        "companyName": "text",
        "documentName": "text",
        "documentUrl": "text",
        "status": '"RunStatus"',
        "currentStage": "integer",
        "errorMessage": "text",
        "createdAt": "timestamp",
        "updatedAt": WRITTEN_AT,
        "completedAt": "timestamp",
    },
)
_STAGE_OUTPUT: Final = Target(
    "StageOutput",
    {
        "id": "text",
        "runId": "text",
        "stageNumber": "integer",
        "markdownOutput": "text",
        "jsonOutput": "jsonb",
        "createdAt": "timestamp",
    },
)
_REPORT: Final = Target(
    "InspirationReport",
    {
        "id": "text",
        "runId": "text",
        "inspiration1Title": "text",
        "inspiration1Content": "text",
        "inspiration1Elements": "text[]",
        "inspiration2Title": "text",
        "inspiration2Content": "text",
        "inspiration2Elements": "text[]",
        "createdAt": "timestamp",
        "updatedAt": WRITTEN_AT,
    },
)
_CARD: Final = Target(
    "OpportunityCard",
    {
        "id": "text",
        "runId": "text",
        "userId": "text",
        "number": "integer",
        "title": "text",
        "tagline": "text",
        "problem": "text",
        "solution": "text",
        "why_now": "text",
        "target_segment": "text",
        "quick_win": "text",
        "starred": "boolean",
        "createdAt": "timestamp",
        "updatedAt": WRITTEN_AT,
    },
)
_LEDGER: Final = Target("ledger", LEDGER_COLUMNS, "runferry")
_RUN_RECORD: Final = Target(
    "run",
    {"run_id": "text", "inserted": "boolean", "before_image": "jsonb", "written": "jsonb", "evidence": "jsonb"},
    "runferry",
)


#: A redelivered message changes nothing, so that sums over a batch are exact.
_DELIVERY: Final = Target(
    "delivery",
    {
        "batch_id": "text",
        "message_id": "text",
        "run_id": "text",
        "origin": "text",
        "publisher": "text",
        "published_at": "timestamptz",
        "worker": "text",
        "attempts": "integer",
        "verdicts": "jsonb",
        "gaps": "jsonb",
    },
    "runferry",
    conflict_key="batch_id, message_id",
)


def new_rows(plan: Plan, worker: str) -> Mapping[Target, list[Record]]:
    """Return the records that the plan inserts, the tables in an order in which foreign keys hold."""
    now = naive_utc(plan.moment)
    new: dict[Target, list[Record]] = {
        _RUN: [_run_values(run, now) for run in plan.run_inserts],
        _STAGE_OUTPUT: [],
        _REPORT: [],
        _CARD: [],
        _LEDGER: [record_of(entry) for entry in plan.ledger_inserts],
        _RUN_RECORD: [run_record_values(*item) for item in plan.record_inserts],
        # Sorted, so that two transactions that were given the same messages never wait for each other in a circle.
        _DELIVERY: [
            _delivery_values(row, worker)
            for row in sorted(plan.deliveries, key=lambda row: (row.batch_id, row.message_id))
        ],
    }
    for row in plan.row_inserts:
        target, record = _row_values(row, now)
        new[target].append(record)
    return new


def _run_values(run: RunRow, now: datetime) -> Record:
    return (
        run.id,
        run.user_id,
        run.company_id,
        run.company_name,
        run.document_name,
        run.document_url,
        run.status,
        run.current_stage,
        run.error_message,
        naive_utc(run.created_at),
        now,
        None if run.completed_at is None else naive_utc(run.completed_at),
    )


def _row_values(insert: RowInsert, now: datetime) -> tuple[Target, Record]:
    row_id, row, created = insert.row.id, insert.row.values, naive_utc(insert.created_at)
    match row:
        case StageOutputRow():
            return _STAGE_OUTPUT, (
                row_id,
                row.run_id,
                row.stage_number,
                row.markdown_output,
                row.json_output,
                created,
            )
        case InspirationReportRow():
            return _REPORT, (row_id, row.run_id, *report_values(row), created, now)
        case OpportunityCardRow():
            starred = False
            return _CARD, (
                row_id,
                row.run_id,
                insert.user_id,
                row.number,
                *card_values(row),
                starred,
                created,
                now,
            )
        case None:
            raise AssertionError("a row to insert has values")
        case _:
            assert_never(row)


def _delivery_values(row: DeliveryRow, worker: str) -> Record:
    return (
        row.batch_id,
        row.message_id,
        row.run_id,
        row.origin,
        row.publisher,
        row.published_at,
        worker,
        row.attempts,
        orjson.dumps(row.verdicts).decode(),
        orjson.dumps(row.gaps).decode(),
    )
