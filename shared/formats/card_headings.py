"""Card headings: the one table of which section of a card fills which column.

A heading that *is* a section's name beats one that merely contains it, and that beats a stand-in of the shapes
that have no such section. Of several names within one heading the first counts: `3. Problem & Target Market` is
the problem. A heading without a name here has no column; its section stays in the Markdown.
"""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from shared.formats.limits import MAX_HEADING_CHARS


class Column(StrEnum):
    """The text columns of "OpportunityCard", in the order of the planned card."""

    TAGLINE = "tagline"
    PROBLEM = "problem"
    SOLUTION = "solution"
    WHY_NOW = "why_now"
    TARGET_SEGMENT = "target_segment"
    QUICK_WIN = "quick_win"


#: Walking a tuple is several times as fast as walking an Enum.
COLUMNS: Final = tuple(Column)

#: Sections by their own names, as regular expressions over normalised headings.
_NAMES: Final = {
    Column.TAGLINE: r"tag ?lines?",
    Column.PROBLEM: r"problems?(?: statement)?",
    Column.SOLUTION: r"(?:proposed )?solutions?",
    Column.WHY_NOW: r"why now",
    Column.TARGET_SEGMENT: r"target(?: (?:segment|market|audience|customer|user|group)s?)?",
    Column.QUICK_WIN: r"quick ?wins?",
}

#: What the real pipelines write instead; counts only where the heading starts with it.
_STAND_INS: Final = {
    Column.SOLUTION: r"description",
    Column.QUICK_WIN: r"actionability",
}


class Rank(IntEnum):
    """How well a heading names its column; the smaller wins."""

    NAME = 0
    CONTAINED = 1
    STAND_IN = 2


class HeadingMatch(NamedTuple):
    """The column that a heading names, and how well."""

    column: Column
    rank: Rank


def _alternatives(table: dict[Column, str]) -> str:
    return "|".join(f"(?P<{column.value}>{pattern})" for column, pattern in table.items())


_NAME: Final = re.compile(_alternatives(_NAMES))
_CONTAINED: Final = re.compile(rf"\b(?:{_alternatives(_NAMES)})\b")
_STAND_IN: Final = re.compile(rf"(?:{_alternatives(_STAND_INS)})\b")

_REMARK: Final = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}")
_NUMBERING: Final = re.compile(
    r"[\W_]*(?:(?:section|part|step) )?(?:\d+(?:\.\d+)*|[a-z](?=[.)])|[ivx]+(?=[.)]))(?=[\W_])"
)
_SUBTITLE: Final = re.compile(r"[:：;|].*|\s[-‐-―]+\s.*", re.DOTALL)
_WORD: Final = re.compile(r"[^\W_]+")
_ARTICLES: Final = frozenset({"the", "our", "a", "an"})


@lru_cache(maxsize=4096)
def column_of(heading: str) -> HeadingMatch | None:
    """Return the column that the heading's text names, None where it names none.

    Case, numbering, decoration, hyphens, articles, remarks in brackets and subtitles don't matter.
    """
    if len(heading) > MAX_HEADING_CHARS:
        return None
    text = _REMARK.sub(" ", unicodedata.normalize("NFKC", heading).casefold())
    numbering = _NUMBERING.match(text)
    if numbering is not None:
        text = text[numbering.end() :].lstrip(" .):：-‐‑‒–—―")
    head = _words(_SUBTITLE.sub("", text))
    if match := _NAME.fullmatch(head):
        return HeadingMatch(Column(match.lastgroup or ""), Rank.NAME)
    if match := _CONTAINED.search(_words(text)):
        return HeadingMatch(Column(match.lastgroup or ""), Rank.CONTAINED)
    if match := _STAND_IN.match(head):
        return HeadingMatch(Column(match.lastgroup or ""), Rank.STAND_IN)
    return None


def _words(text: str) -> str:
    words = _WORD.findall(text)
    if len(words) > 1 and words[0] in _ARTICLES:
        del words[0]
    return " ".join(words)
