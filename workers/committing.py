"""Committing: a plan becomes the statements of one transaction.

The order is fixed: what is new, then what changes, the ledger before the letters, which see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, assert_never

import asyncpg

from shared.committed import CHANNEL, payload_of
from shared.dead_letters.recording import record, resolve
from shared.mapping.run_row import ColumnValue
from shared.rows import InspirationReportRow, OpportunityCardRow, StageOutputRow
from workers.held_state import QUERIES
from workers.insertion import insert
from workers.ledger import Table, record_of
from workers.new_rows import new_rows
from workers.plan import KeptDocuments, Plan
from workers.row_values import card_values, naive_utc, report_values, run_record_values
from workers.stage_fold import HeldRow


async def commit_plan(connection: asyncpg.Connection, plan: Plan, worker: str) -> None:
    """Execute the plan inside the caller's transaction; `worker` is host:pid."""
    if plan.revived:
        await connection.execute(QUERIES["forget_ledger"], plan.revived)
    notice = payload_of(plan.receipts) if plan.receipts else None
    await insert(connection, new_rows(plan, worker), CHANNEL, notice)
    if plan.run_changes:
        await connection.executemany(
            QUERIES["advance_run"],
            [(run_id, *_run_change_values(changes)) for run_id, changes in plan.run_changes],
        )
    await _update_rows(connection, plan.row_updates)
    await _delete_rows(connection, plan)
    await _write_ledger(connection, plan)
    await _write_documents(connection, plan)
    # After the ledger: it decides whether a letter still waits for somebody.
    await record(connection, plan.letters)
    await resolve(connection, plan.settled)


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


async def _update_rows(connection: asyncpg.Connection, updates: Iterable[HeldRow]) -> None:
    # Sorted by id, so that two transactions that update the same rows never wait for each other in a circle.
    for row in sorted(updates, key=lambda row: row.id):
        match row.values:
            case StageOutputRow() as values:
                await connection.execute(
                    QUERIES["update_stage_output"], row.id, values.markdown_output, values.json_output
                )
            case InspirationReportRow() as values:
                await connection.execute(QUERIES["update_report"], row.id, *report_values(values))
            case OpportunityCardRow() as values:
                await connection.execute(QUERIES["update_card"], row.id, *card_values(values))
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
    if plan.ledger_updates:
        await connection.executemany(
            QUERIES["replace_ledger"], [(*record_of(entry), entry.is_filled) for entry in plan.ledger_updates]
        )
    if plan.record_updates:
        await connection.executemany(
            QUERIES["replace_record"], [run_record_values(*item) for item in plan.record_updates]
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
