"""Gaps: what an output that became rows did not contain; counted and shown, never silent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class GapKind(StrEnum):
    """What is lacking."""

    MISSING_CARDS = "missing_cards"
    MISSING_SECTIONS = "missing_sections"
    UNTITLED = "untitled"
    NO_REPORT = "no_report"
    KEPT_CARD = "kept_card"  # the newer output lacks it, but a user starred or edited it


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that an output lacks, as a sentence for people, e.g. "card 2 has no tagline, why_now"."""

    kind: GapKind
    text: str
