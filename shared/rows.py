"""Rows: the web app's rows that one stage output becomes, and what of it the rows can't hold.

Source of the columns: the web app's Prisma schema (`ops/prisma/schema.prisma`).
"""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum
from typing import NamedTuple

from shared.documents import Document
from shared.frozen import frozen
from shared.gaps import Gap
from shared.ids import RunId, Stage


class CanonicalJson(NamedTuple):
    """The canonical form of a plain JSON text, and whether a number in it has a fraction."""

    text: bytes
    has_fractions: bool


@frozen
class StageOutputRow:
    """One row of "StageOutput"; `json_output` is JSON text, or None where the output has no JSON.

    `markdown_utf8` is its Markdown as bytes, and `json_canonical` the canonical form of its JSON, where whoever made
    the row had them at hand; a changed copy of the row has none.
    """

    run_id: RunId
    stage_number: Stage
    markdown_output: str
    json_output: str | None
    markdown_utf8: bytes | None = field(default=None, init=False, compare=False, repr=False)
    json_canonical: CanonicalJson | None = field(default=None, init=False, compare=False, repr=False)

    def remember_markdown_utf8(self, markdown: bytes) -> None:
        """Keep the bytes of `markdown_output`, so that it need not be encoded to be hashed."""
        object.__setattr__(self, "markdown_utf8", markdown)

    def remember_json_canonical(self, canonical: CanonicalJson) -> None:
        """Keep the canonical form of `json_output`, so that it need not be parsed again to be hashed."""
        object.__setattr__(self, "json_canonical", canonical)


@frozen
class OpportunityCardRow:
    """One row of "OpportunityCard", without the columns that belong to the user (`starred`) or to the run."""

    run_id: RunId
    number: int
    title: str
    tagline: str
    problem: str
    solution: str
    why_now: str
    target_segment: str
    quick_win: str


@frozen
class InspirationReportRow:
    """One row of "InspirationReport"."""

    run_id: RunId
    inspiration1_title: str
    inspiration1_content: str
    inspiration1_elements: tuple[str, ...]
    inspiration2_title: str
    inspiration2_content: str
    inspiration2_elements: tuple[str, ...]


class FactSource(IntEnum):
    """Where a fact about a run comes from; the greater wins, so the order of arrival doesn't matter."""

    GUESS = 0
    HINT = 1
    FRONT_MATTER = 2
    CONTEXT_JSON = 3


@frozen
class OutputFacts:
    """What one output says about its run, each with its source; None where it says nothing."""

    company_id: tuple[str, FactSource] | None = None
    document_name: tuple[str, FactSource] | None = None


@frozen
class MappedOutput:
    """All rows that one stage output becomes.

    `kept_documents` are those that the rows can't give back exactly; they are stored as bytes beside the rows.
    """

    stage: Stage
    stage_output: StageOutputRow
    report: InspirationReportRow | None
    cards: tuple[OpportunityCardRow, ...]
    kept_documents: tuple[Document, ...]
    gaps: tuple[Gap, ...]
    facts: OutputFacts
