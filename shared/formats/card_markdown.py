"""Card Markdown: the title and the sections of one card, and the cards of a document that holds several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from shared.formats.card_headings import COLUMNS, Column, HeadingMatch, Rank, column_of
from shared.formats.front_matter import SplitMarkdown, split_front_matter
from shared.formats.markdown_marks import Mark, MarkedText, labels, mark, unfenced
from shared.frozen import frozen

_BLANK_LINES_BEFORE: Final = re.compile(rb"(?:[ \t]*\r?\n)+")
_WHITE_SPACE: Final = frozenset(b" \t\r\n")
_INLINE_TITLE: Final = re.compile(
    r"(?:opportunity|card)(?: card)?\s*#?\s*([0-9]+)\s*(?:[:：.)|–—-]\s*(.*))?", re.IGNORECASE | re.DOTALL
)


@frozen
class CardText:
    """What the Markdown of one card says; a column without a section is left out."""

    title: str
    sections: Mapping[Column, str]


@frozen
class InlineCardText(CardText):
    """What one of several cards in a document says, its heading, and the digits of its number."""

    heading: str
    digits: str


def split_card(text: str) -> SplitMarkdown:
    """Return the front matter and the body of a text, looking through a fence around all of it."""
    split = split_front_matter(text)
    inner = unfenced(split.body)
    if inner is split.body:
        return split
    return split_front_matter(inner) if split.front_matter is None else SplitMarkdown(split.front_matter, inner)


def read_card(text: str) -> CardText:
    """Return the card that the whole of a document's text is."""
    marked = mark(split_card(text).body)
    title = _title(marked.headings)
    if title is None:
        return CardText("", _sections(marked, None))
    inline = _INLINE_TITLE.fullmatch(title.text) if title.level > 1 else None
    return CardText((inline and inline[2]) or title.text, _sections(marked, title))


def read_inline_cards(text: str) -> tuple[InlineCardText, ...]:
    """Return the cards of a document such as `## Opportunity 1: Title`, then `**Tagline:** …`, in its order.

    A document none of whose cards has a section merely lists them: it holds no cards.
    """
    marked = mark(split_card(text).body)
    opened: tuple[Mark, re.Match[str]] | None = None
    cards: list[InlineCardText] = []
    for heading in marked.headings:
        match = _INLINE_TITLE.fullmatch(heading.text)
        if opened is not None and (match is not None or heading.level <= opened[0].level):
            cards.append(_inline_card(marked, *opened, heading.start))
            opened = None
        if match is not None:
            opened = (heading, match)
    if opened is not None:
        cards.append(_inline_card(marked, *opened, len(marked.source)))
    return tuple(cards) if any(card.sections for card in cards) else ()


def _inline_card(marked: MarkedText, heading: Mark, match: re.Match[str], end: int) -> InlineCardText:
    body = mark(marked.source[heading.end : end].decode())
    return InlineCardText((match[2] or "").strip(), _sections(body, None), heading.text, match[1])


def _title(headings: Sequence[Mark]) -> Mark | None:
    """Return the title among the headings: the first of level 1, else the first one if it names no column."""
    for heading in headings:
        if heading.level == 1 and heading.text and not _is_name(heading):
            return heading
    if not headings or not headings[0].text or _is_name(headings[0]):
        return None
    first, *others = headings
    stands_above = all(first.level < other.level for other in others)
    return first if stands_above or column_of(first.text) is None else None


def _is_name(heading: Mark) -> bool:
    match = column_of(heading.text)
    return match is not None and match.rank is Rank.NAME


def _sections(marked: MarkedText, title: Mark | None) -> dict[Column, str]:
    """Return the card's sections by its headings, or by its bold labels where no heading names a column."""
    by_headings = _sections_between(marked, marked.headings, title)
    if by_headings:
        return by_headings
    found = labels(marked)
    marker = next((label.marker for label in found if column_of(label.mark.text)), None)
    equals = (label.mark for label in found if label.marker == marker)
    marks = sorted((*marked.headings, *equals), key=lambda each: each.start)
    return _sections_between(marked, marks, title)


def _sections_between(marked: MarkedText, marks: Sequence[Mark], title: Mark | None) -> dict[Column, str]:
    matches = [None if each is title else column_of(each.text) for each in marks]
    best: dict[Column, tuple[Rank, int]] = {}
    for each, match in zip(marks, matches, strict=True):
        if match is not None:
            key = (match.rank, each.level)
            best[match.column] = min(best.get(match.column, key), key)
    texts: dict[Column, list[str]] = {}
    opened: tuple[Mark, Column] | None = None
    for each, match in zip(marks, matches, strict=True):
        starts = match is not None and best[match.column] == (match.rank, each.level)
        if opened is not None:
            if each is not title and each.level > opened[0].level and not _breaks_out(match, starts=starts):
                continue
            _close(texts, opened, marked, each.start)
        opened = (each, match.column) if match is not None and starts else None
    if opened is not None:
        _close(texts, opened, marked, len(marked.source))
    return {column: "\n\n".join(parts) for column in COLUMNS if (parts := texts.get(column))}


def _breaks_out(match: HeadingMatch | None, *, starts: bool) -> bool:
    """Tell whether a heading below another section's is a section of its own, not a part of that one."""
    return starts and match is not None and match.rank is Rank.NAME


def _close(texts: dict[Column, list[str]], opened: tuple[Mark, Column], marked: MarkedText, end: int) -> None:
    heading, column = opened
    text = _section_text(marked, heading.end, end)
    if text:
        texts.setdefault(column, []).append(text)


def _section_text(marked: MarkedText, start: int, end: int) -> str:
    """Return the lines from `start` to `end` without blank lines and separating rules at the ends."""
    source = marked.source
    text = source[start:end].rstrip()
    if text and text[0] in _WHITE_SPACE and (blank := _BLANK_LINES_BEFORE.match(text)) is not None:
        start += blank.end()
        text = text[blank.end() :]
    if not marked.rules:
        return text.decode()
    end = start + len(text)
    while end > start:
        line_start = max(start, source.rfind(b"\n", start, end) + 1)
        if line_start + _indent(source, line_start, end) not in marked.rules:
            break
        end = line_start
        while end > start and source[end - 1] in _WHITE_SPACE:
            end -= 1
    return source[start:end].decode()


def _indent(source: bytes, start: int, end: int) -> int:
    line = source[start : min(end, start + 4)]
    return len(line) - len(line.lstrip(b" "))
