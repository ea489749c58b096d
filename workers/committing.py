"""Committing: a plan becomes the statements of one transaction.

Rows that are new go in by COPY, the rest by prepared statements; the order is fixed (users, runs, rows, ledger,
letters), so that foreign keys hold and the dead letters see the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, assert_never

import asyncpg
import orjson

from shared.committed import CHANNEL, payload_of
from shared.dead_letters.recording import record, resolve
from shared.ids import RunId
from shared.mapping.moments import whole_milliseconds
from shared.mapping.run_row import ColumnValue, RunRow
from shared.rows import InspirationReportRow, OpportunityCardRow, StageOutputRow
from workers.held_state import QUERIES, RunRecord
from workers.ledger import COLUMNS as LEDGER_COLUMNS
from workers.ledger import Table, record_of
from workers.plan import DeliveryRow, KeptDocuments, Plan, RowInsert
from workers.stage_fold import HeldRow

_RUN_COLUMNS: Final = (
    "id",
    "userId",
    "companyId",
    "companyName",
    "documentName",
    "documentUrl",
    "status",
    "currentStage",
    "errorMessage",
    "createdAt",
    "updatedAt",
    "completedAt",
)
_STAGE_OUTPUT_COLUMNS: Final = ("id", "runId", "stageNumber", "markdownOutput", "jsonOutput", "createdAt")
_REPORT_COLUMNS: Final = (
    "id",
    "runId",
    "inspiration1Title",
    "inspiration1Content",
    "inspiration1Elements",
    "inspiration2Title",
    "inspiration2Content",
    "inspiration2Elements",
    "createdAt",
    "updatedAt",
)
_CARD_COLUMNS: Final = (
    "id",
    "runId",
    "userId",
    "number",
    "title",
    "tagline",
    "problem",
    "solution",
    "why_now",
    "target_segment",
    "quick_win",
    "starred",
    "createdAt",
    "updatedAt",
)
_RECORD_COLUMNS: Final = ("run_id", "inserted", "before_image", "written", "evidence")


async def commit_plan(connection: asyncpg.Connection, plan: Plan, worker: str) -> None:
    """Execute the plan inside the caller's transaction; `worker` is host:pid."""
    now = naive_utc(plan.moment)
    if plan.revived:
        await connection.execute(QUERIES["forget_ledger"], plan.revived)
    await _copy(connection, "Run", _RUN_COLUMNS, [_run_values(run, now) for run in plan.run_inserts])
    if plan.run_changes:
        await connection.executemany(
            QUERIES["advance_run"],
            [(run_id, *_run_change_values(changes)) for run_id, changes in plan.run_changes],
        )
    await _insert_rows(connection, plan.row_inserts, now)
    await _update_rows(connection, plan.row_updates)
    await _delete_rows(connection, plan)
    await _write_ledger(connection, plan)
    await _write_documents(connection, plan)
    # After the ledger: it decides whether a letter still waits for somebody.
    await record(connection, plan.letters)
    await resolve(connection, plan.settled)
    await _add_deliveries(connection, plan.deliveries, plan.receipts, worker)


def naive_utc(moment: datetime) -> datetime:
    """Return the moment as the web app's `timestamp(3)` columns hold it: UTC without a zone, whole milliseconds."""
    return whole_milliseconds(moment.astimezone(UTC)).replace(tzinfo=None)


async def _copy(
    connection: asyncpg.Connection,
    table: str,
    columns: Sequence[str],
    records: Sequence[tuple[Any, ...]],
    schema: str | None = None,
) -> None:
    if records:
        await connection.copy_records_to_table(table, columns=columns, records=records, schema_name=schema)


def _run_values(run: RunRow, now: datetime) -> tuple[Any, ...]:
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


def _run_change_values(changes: Mapping[str, ColumnValue]) -> tuple[Any, ...]:
    def moment(column: str) -> datetime | None:
        value = changes.get(column)
        return naive_utc(value) if isinstance(value, datetime) else None

    return (
        changes.get("companyId"),
        changes.get("companyName"),
        changes.get("documentName"),
        changes.get("documentUrl"),
        changes.get("status"),
        changes.get("currentStage"),
        "errorMessage" in changes,
        changes.get("errorMessage"),
        "completedAt" in changes,
        moment("completedAt"),
        moment("createdAt"),
    )


async def _insert_rows(connection: asyncpg.Connection, inserts: Iterable[RowInsert], now: datetime) -> None:
    outputs: list[tuple[Any, ...]] = []
    reports: list[tuple[Any, ...]] = []
    cards: list[tuple[Any, ...]] = []
    for insert in inserts:
        row_id, values, created = insert.row.id, insert.row.values, naive_utc(insert.created_at)
        match values:
            case StageOutputRow():
                outputs.append(
                    (
                        row_id,
                        values.run_id,
                        values.stage_number,
                        values.markdown_output,
                        values.json_output,
                        created,
                    )
                )
            case InspirationReportRow():
                reports.append((row_id, values.run_id, *_report_values(values), created, now))
            case OpportunityCardRow():
                cards.append(
                    (
                        row_id,
                        values.run_id,
                        insert.user_id,
                        values.number,
                        *_card_values(values),
                        False,
                        created,
                        now,
                    )
                )
            case None:
                raise AssertionError("a row to insert has values")
            case _:
                assert_never(values)
    await _copy(connection, "StageOutput", _STAGE_OUTPUT_COLUMNS, outputs)
    await _copy(connection, "InspirationReport", _REPORT_COLUMNS, reports)
    await _copy(connection, "OpportunityCard", _CARD_COLUMNS, cards)


def _report_values(row: InspirationReportRow) -> tuple[Any, ...]:
    return (
        row.inspiration1_title,
        row.inspiration1_content,
        row.inspiration1_elements,
        row.inspiration2_title,
        row.inspiration2_content,
        row.inspiration2_elements,
    )


def _card_values(row: OpportunityCardRow) -> tuple[Any, ...]:
    return (row.title, row.tagline, row.problem, row.solution, row.why_now, row.target_segment, row.quick_win)


async def _update_rows(connection: asyncpg.Connection, updates: Iterable[HeldRow]) -> None:
    # Sorted by id, so that two transactions that update the same rows never wait for each other in a circle.
    for row in sorted(updates, key=lambda row: row.id):
        match row.values:
            case StageOutputRow() as values:
                await connection.execute(
                    QUERIES["update_stage_output"], row.id, values.markdown_output, values.json_output
                )
            case InspirationReportRow() as values:
                await connection.execute(QUERIES["update_report"], row.id, *_report_values(values))
            case OpportunityCardRow() as values:
                await connection.execute(QUERIES["update_card"], row.id, *_card_values(values))
            case None:
                raise AssertionError("a row to update has values")
            case _:
                assert_never(row.values)


async def _delete_rows(connection: asyncpg.Connection, plan: Plan) -> None:
    cards = [row_id for key, row_id in plan.row_deletes if key.table is Table.OPPORTUNITY_CARD]
    reports = [row_id for key, row_id in plan.row_deletes if key.table is Table.INSPIRATION_REPORT]
    if cards:
        await connection.execute(QUERIES["delete_cards"], sorted(cards))
    if reports:
        await connection.execute(QUERIES["delete_reports"], sorted(reports))


async def _write_ledger(connection: asyncpg.Connection, plan: Plan) -> None:
    await _copy(
        connection, "ledger", LEDGER_COLUMNS, [record_of(entry) for entry in plan.ledger_inserts], "runferry"
    )
    if plan.ledger_updates:
        await connection.executemany(
            QUERIES["replace_ledger"], [record_of(entry) for entry in plan.ledger_updates]
        )
    await _copy(
        connection, "run", _RECORD_COLUMNS, [_record_values(*item) for item in plan.record_inserts], "runferry"
    )
    if plan.record_updates:
        await connection.executemany(
            QUERIES["replace_record"], [_record_values(*item) for item in plan.record_updates]
        )


def _record_values(run_id: RunId, record: RunRecord) -> tuple[Any, ...]:
    before = record.before_image
    return (
        run_id,
        record.inserted,
        None if before is None else orjson.dumps(before).decode(),
        orjson.dumps(record.written).decode(),
        orjson.dumps(record.evidence.to_json()).decode(),
    )


async def _write_documents(connection: asyncpg.Connection, plan: Plan) -> None:
    if plan.forgotten_documents:
        await connection.execute(
            QUERIES["forget_documents"],
            [run_id for run_id, _ in plan.forgotten_documents],
            [stage.value for _, stage in plan.forgotten_documents],
        )
    values = [value for kept in plan.kept_documents for value in _document_values(kept)]
    if values:
        await connection.executemany(QUERIES["keep_document"], values)


def _document_values(kept: KeptDocuments) -> list[tuple[Any, ...]]:
    return [
        (
            kept.run_id,
            kept.stage.value,
            kept.content_sha256,
            document.name,
            document.content,
            kept.superseded,
            kept.produced_at,
        )
        for document in kept.documents
    ]


async def _add_deliveries(
    connection: asyncpg.Connection, rows: Sequence[DeliveryRow], receipts: Sequence[str], worker: str
) -> None:
    if not rows and not receipts:
        return
    await connection.execute(
        QUERIES["add_deliveries"],
        [row.batch_id for row in rows],
        [row.message_id for row in rows],
        [row.run_id for row in rows],
        [row.origin for row in rows],
        [row.publisher for row in rows],
        [row.published_at for row in rows],
        [worker] * len(rows),
        [row.attempts for row in rows],
        [orjson.dumps(row.verdicts).decode() for row in rows],
        [orjson.dumps(row.gaps).decode() for row in rows],
        CHANNEL,
        payload_of(receipts) if receipts else None,
    )
