"""Adoption: which rows that another script wrote are right as they are."""

from __future__ import annotations

from typing import assert_never

from shared.comparing.row_hash import Row, row_sha256
from shared.rows import InspirationReportRow, OpportunityCardRow, StageOutputRow


def equal_enough_to_adopt(expected: Row, actual: Row) -> bool:
    """Tell whether a row differs from the expected one only in white space at the end of a text.

    Scripts leave it there, and in a card or a report it means nothing. A stage output must be equal: its documents
    are made from it again, byte for byte.
    """
    match expected:
        case StageOutputRow():
            return expected == actual or row_sha256(expected) == row_sha256(actual)
        case OpportunityCardRow():
            return isinstance(actual, OpportunityCardRow) and _card_texts(expected) == _card_texts(actual)
        case InspirationReportRow():
            return isinstance(actual, InspirationReportRow) and _report_texts(expected) == _report_texts(actual)
        case _:
            assert_never(expected)


def _card_texts(row: OpportunityCardRow) -> tuple[object, ...]:
    texts = (row.title, row.tagline, row.problem, row.solution, row.why_now, row.target_segment, row.quick_win)
    return (row.run_id, row.number, *(text.rstrip() for text in texts))


def _report_texts(row: InspirationReportRow) -> tuple[object, ...]:
    return (
        row.run_id,
        row.inspiration1_title.rstrip(),
        row.inspiration1_content.rstrip(),
        tuple(element.rstrip() for element in row.inspiration1_elements),
        row.inspiration2_title.rstrip(),
        row.inspiration2_content.rstrip(),
        tuple(element.rstrip() for element in row.inspiration2_elements),
    )
