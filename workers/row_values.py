"""Row values: values as they are sent to PostgreSQL, in the order of their columns, whether a row is new or changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from shared.ids import RunId
from shared.mapping.moments import whole_milliseconds
from shared.rows import InspirationReportRow, OpportunityCardRow
from workers.held_state import RunRecord


def naive_utc(moment: datetime) -> datetime:
    """Return the moment as the web app's `timestamp(3)` columns hold it: UTC without a zone, whole milliseconds."""
    return whole_milliseconds(moment).replace(tzinfo=None)


def run_record_values(run_id: RunId, record: RunRecord) -> tuple[Any, ...]:
    """Return a row of `runferry.run`."""
    before = record.before_image
    return (
        run_id,
        record.inserted,
        None if before is None else orjson.dumps(before).decode(),
        orjson.dumps(record.written).decode(),
        orjson.dumps(record.evidence.to_json()).decode(),
    )


def report_values(row: InspirationReportRow) -> tuple[Any, ...]:
    """Return the values of a report that its output says."""
    return (
        row.inspiration1_title,
        row.inspiration1_content,
        row.inspiration1_elements,
        row.inspiration2_title,
        row.inspiration2_content,
        row.inspiration2_elements,
    )


def card_values(row: OpportunityCardRow) -> tuple[Any, ...]:
    """Return the values of a card that its output says, without its number."""
    return (row.title, row.tagline, row.problem, row.solution, row.why_now, row.target_segment, row.quick_win)
