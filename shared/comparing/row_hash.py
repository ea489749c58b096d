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
    return _sha256(_framed(row))


def compared(row: Row, other: Row) -> tuple[Sha256, bool]:
    """Return the hash of a row, and whether the other has the same; that one is not made.

    What the other row remembers of its values, this one does then as well, where it has the same.
    """
    if isinstance(row, StageOutputRow) and isinstance(other, StageOutputRow):
        _remember_like(row, other)
    framed = _framed(row)
    return _sha256(framed), row == other or _say_the_same(row, other) or b"".join(framed) == b"".join(
        _framed(other)
    )


def _remember_like(row: StageOutputRow, other: StageOutputRow) -> None:
    markdown, canonical = other.markdown_utf8, other.json_canonical
    if markdown is not None and row.markdown_output == other.markdown_output:
        row.remember_markdown_utf8(markdown)
    if canonical is not None and row.json_output is not None and reads_as(row.json_output, canonical):
        row.remember_json_canonical(canonical)


def _say_the_same(row: Row, other: Row) -> bool:
    """Say whether two rows surely say the same, by what is remembered of them."""
    return (
        isinstance(row, StageOutputRow)
        and isinstance(other, StageOutputRow)
        and row.json_canonical is not None
        and row.json_canonical == other.json_canonical
        and replace(row, json_output=other.json_output) == other
    )


def _framed(row: Row) -> tuple[bytes, ...]:
    """Return the row's values as bytes, the large ones by themselves: they are hashed as they are, and not copied."""
    match row:
        case StageOutputRow():
            kind = "null" if row.json_output is None else "json"
            names = ("StageOutput", row.run_id, str(row.stage_number.value), kind)
            head = _frame(*names, followed_by=len(row.markdown_output))
            markdown = row.markdown_output.encode() if row.markdown_utf8 is None else row.markdown_utf8
            return head, markdown, _canonical(row)
        case OpportunityCardRow():
            return (
                _frame(
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
                ),
            )
        case InspirationReportRow():
            return (
                _frame(
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
                ),
            )
        case _:
            assert_never(row)


def _canonical(row: StageOutputRow) -> bytes:
    if row.json_output is None:
        return b""
    return canonical_json(row.json_output) if row.json_canonical is None else row.json_canonical.text


def _frame(*texts: str, followed_by: int | None = None) -> bytes:
    """Return the texts after their lengths, so that nothing can move between two of them unseen.

    With `followed_by`, the caller adds one more text, of so many characters.
    """
    lengths = [len(text) for text in texts]
    if followed_by is not None:
        lengths.append(followed_by)
    return f"{' '.join(map(str, lengths))}\n{''.join(texts)}".encode()


def _sha256(parts: tuple[bytes, ...]) -> Sha256:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return Sha256(digest.hexdigest())
