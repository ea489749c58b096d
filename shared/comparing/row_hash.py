"""The hash of a row's values: recorded in the ledger as written, and recomputed from what PostgreSQL returns."""

from __future__ import annotations

import hashlib
from typing import Final, assert_never

from shared.comparing.json_value import canonical_json
from shared.documents import Sha256
from shared.rows import InspirationReportRow, OpportunityCardRow, StageOutputRow

Row = StageOutputRow | InspirationReportRow | OpportunityCardRow

_LENGTH_BYTES: Final = 8
_NULL: Final = b"\xff" * _LENGTH_BYTES  # a length that no field has


def row_sha256(row: Row) -> Sha256:
    """Return the hash over the table's name and all values, each length-prefixed.

    Text counts exactly, JSON by value: PostgreSQL gives jsonb back with other key order, spacing and numbers.
    """
    return Sha256(hashlib.sha256(b"".join(_parts(row))).hexdigest())


def _parts(row: Row) -> list[bytes]:
    match row:
        case StageOutputRow():
            parts = _prefixed("StageOutput", row.run_id, str(row.stage_number.value), row.markdown_output)
            return parts + ([_NULL] if row.json_output is None else _sized(canonical_json(row.json_output)))
        case OpportunityCardRow():
            return _prefixed(
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
            return _prefixed(
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


def _prefixed(*texts: str) -> list[bytes]:
    return [part for text in texts for part in _sized(text.encode())]


def _sized(value: bytes) -> list[bytes]:
    return [len(value).to_bytes(_LENGTH_BYTES, "big"), value]
