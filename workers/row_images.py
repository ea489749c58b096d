"""Row images: a web-app row's values by column name, as the ledger keeps them before they are overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.ids import RunId, Stage
from shared.mapping.run_row import RunRow, RunStatus
from shared.rows import InspirationReportRow, OpportunityCardRow, StageOutputRow


def image_of(row: StageOutputRow | InspirationReportRow | OpportunityCardRow) -> dict[str, Any]:
    """Return the values of a row by the web app's column names, as JSON values."""
    match row:
        case StageOutputRow():
            return {"markdownOutput": row.markdown_output, "jsonOutput": row.json_output}
        case InspirationReportRow():
            return {
                "inspiration1Title": row.inspiration1_title,
                "inspiration1Content": row.inspiration1_content,
                "inspiration1Elements": list(row.inspiration1_elements),
                "inspiration2Title": row.inspiration2_title,
                "inspiration2Content": row.inspiration2_content,
                "inspiration2Elements": list(row.inspiration2_elements),
            }
        case OpportunityCardRow():
            return {
                "title": row.title,
                "tagline": row.tagline,
                "problem": row.problem,
                "solution": row.solution,
                "why_now": row.why_now,
                "target_segment": row.target_segment,
                "quick_win": row.quick_win,
            }


def beyond_values(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an update changes of a report or a card besides its values: a way back needs it to the byte."""
    beyond: dict[str, Any] = {"updatedAt": instant(record["updatedAt"])}
    for column in ("inspiration1Elements", "inspiration2Elements"):
        # A list that Prisma wrote as NULL is read as an empty one.
        if column in record and record[column] is None:
            beyond[column] = None
    return beyond


def instant(moment: datetime) -> str:
    """Return a time of the web app's as images keep it: ISO 8601 in UTC."""
    return moment.replace(tzinfo=UTC).isoformat(timespec="microseconds")


def run_row_of(record: Mapping[str, Any]) -> RunRow:
    """Return the values of a record of "Run"; the web app's times are UTC without a zone."""
    completed_at = record["completedAt"]
    return RunRow(
        id=RunId(record["id"]),
        user_id=record["userId"],
        company_id=record["companyId"],
        company_name=record["companyName"],
        document_name=record["documentName"],
        document_url=record["documentUrl"],
        status=RunStatus(record["status"]),
        current_stage=record["currentStage"],
        error_message=record["errorMessage"],
        created_at=record["createdAt"].replace(tzinfo=UTC),
        completed_at=None if completed_at is None else completed_at.replace(tzinfo=UTC),
    )


def stage_output_of(record: Mapping[str, Any]) -> StageOutputRow:
    """Return the values of a record of "StageOutput"."""
    return StageOutputRow(
        run_id=RunId(record["runId"]),
        stage_number=Stage(record["stageNumber"]),
        markdown_output=record["markdownOutput"],
        json_output=record["jsonOutput"],
    )


def report_of(record: Mapping[str, Any]) -> InspirationReportRow:
    """Return the values of a record of "InspirationReport"; Prisma writes a list as NULL or as an array."""
    return InspirationReportRow(
        run_id=RunId(record["runId"]),
        inspiration1_title=record["inspiration1Title"],
        inspiration1_content=record["inspiration1Content"],
        inspiration1_elements=tuple(record["inspiration1Elements"] or ()),
        inspiration2_title=record["inspiration2Title"],
        inspiration2_content=record["inspiration2Content"],
        inspiration2_elements=tuple(record["inspiration2Elements"] or ()),
    )


def card_of(record: Mapping[str, Any]) -> OpportunityCardRow:
    """Return the values of a record of "OpportunityCard"."""
    return OpportunityCardRow(
        run_id=RunId(record["runId"]),
        number=record["number"],
        title=record["title"],
        tagline=record["tagline"],
        problem=record["problem"],
        solution=record["solution"],
        why_now=record["why_now"],
        target_segment=record["target_segment"],
        quick_win=record["quick_win"],
    )
