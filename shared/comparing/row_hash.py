"""The hash of a row's values: recorded in the ledger as written, and recomputed from what PostgreSQL returns."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import assert_never

from shared.comparing.json_value import canonical_json, reads_as
from shared.documents import Sha256
from shared.rows import InspirationReportRow, OpportunityCardRow, StageOutputRow

Row = StageOutputRow | InspirationReportRow | OpportunityCardRow


def row_sha256(row: Row) -> Sha256:
    """Return the hash over the table's name and all values.

    Text counts exactly, JSON by value: PostgreSQL gives jsonb back with other key order, spacing and numbers.
    """
    return Sha256(hashlib.sha256(_framed(row)).hexdigest())


def compared(row: Row, other: Row) -> tuple[Sha256, bool]:
    """Return the hash of a row, and whether the other has the same; that one is not made."""
    if isinstance(row, StageOutputRow) and isinstance(other, StageOutputRow):
        known = other.json_canonical
        if known is not None and row.json_output is not None and reads_as(row.json_output, known):
            row.remember_json_canonical(known)
    framed = _framed(row)
    sha256 = Sha256(hashlib.sha256(framed).hexdigest())
    return sha256, row == other or _say_the_same(row, other) or framed == _framed(other)


def _say_the_same(row: Row, other: Row) -> bool:
    """Say whether two rows surely say the same, by what is remembered of them."""
    return (
        isinstance(row, StageOutputRow)
        and isinstance(other, StageOutputRow)
        and row.json_canonical is not None
        and row.json_canonical == other.json_canonical
        and replace(row, json_output=other.json_output) == other
    )


def _framed(row: Row) -> bytes:
    match row:
        case StageOutputRow():
            number, json_output = str(row.stage_number.value), row.json_output
            kind = "null" if json_output is None else "json"
            texts = _frame("StageOutput", row.run_id, number, kind, row.markdown_output)
            if json_output is None:
                return texts
            canonical = row.json_canonical
            return texts + (canonical_json(json_output) if canonical is None else canonical.text)
        case OpportunityCardRow():
            return _frame(
                "OpportunityCard",
                row.run_id,
                str(row.number),
                row.title,
                row.tagline,
                row.problem,
                row.solution,
                row.why_now,
                row.target_segment,
                row.quick_win,
            )
        case InspirationReportRow():
            return _frame(
                "InspirationReport",
                row.run_id,
                row.inspiration1_title,
                row.inspiration1_content,
                str(len(row.inspiration1_elements)),
                *row.inspiration1_elements,
                row.inspiration2_title,
                row.inspiration2_content,
                str(len(row.inspiration2_elements)),
                *row.inspiration2_elements,
            )
        case _:
            assert_never(row)


def _frame(*texts: str) -> bytes:
    """Return the texts after their lengths, so that nothing can move between two of them unseen."""
    return f"{' '.join(map(str, map(len, texts)))}\n{''.join(texts)}".encode()
