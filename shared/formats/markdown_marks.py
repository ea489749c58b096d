"""Markdown marks: where the headings, rules and bold labels of a Markdown text stand.

All offsets are in bytes of the UTF-8 text, because that is how pulldown-cmark counts. Headings within lists and
quotations are part of the text that they stand in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pyromark import Markdown, Options

from shared.frozen import frozen

_PARSER: Final = Markdown(options=Options.ENABLE_TABLES)

_STRONG_START: Final = {"Start": "Strong"}
_STRONG_END: Final = {"End": "Strong"}

#: A list marker and its indent are shorter.
_MAX_MARKER_BYTES: Final = 64

#: A label counts as deeper than every heading.
LABEL_LEVEL: Final = 7

_LEVELS: Final = {f"H{level}": level for level in range(1, 7)}
_LIST_MARKER: Final = re.compile(rb"[ \t]*([-*+]|[0-9]+[.)])?[ \t]*")
_LABEL_END: Final = re.compile(rb"[ \t]*(?::|\xef\xbc\x9a|\xe2\x80\x93|\xe2\x80\x94|-(?=\s))[ \t]*")
_SPACES: Final = re.compile(rb"[ \t]*")
_LINE_END: Final = re.compile(rb"[ \t]*(?:\r?\n|\Z)")
_FENCES: Final = ("```", "~~~")
#: What may take the lines that follow into itself, or make a line or a blank end elsewhere.
_MAY_HIDE: Final = (b"<", b"\r", b"\x0b", b"\x0c")
#: The same, each behind its first byte: one byte is found ten times as fast, and mostly it is not there.
_MAY_HIDE_LONG: Final = ((b"`", b"```"), (b"~", b"~~~"), (b"\xef", b"\xef\xbb\xbf"))
#: A line that begins with `#`; else a rule, the underline of a heading, or a heading that is indented.
_MARK_LINE: Final = re.compile(rb"\n(?:(#[^\n]*)| {0,3}[-=_*][-=_* \t]*(?:\n|\Z)| {1,3}#)")
_MAX_LINE_BYTES: Final = 256
_LINE_FEED: Final = 0x0A
_MARKDOWN_FENCES: Final = frozenset({"", "md", "markdown"})


class Mark(NamedTuple):
    """A heading or label: its plain text, and the bytes that it covers, from `start` to `end`."""

    level: int
    start: int
    end: int
    text: str


@frozen
class MarkedText:
    """A Markdown text with the marks in it."""

    source: bytes
    headings: Sequence[Mark]
    rules: frozenset[int]


def mark(text: str) -> MarkedText:
    """Return the text with its headings and rules, in the order in which they stand."""
    source = text.encode()
    headings = _obvious_headings(source)
    return _parsed(text, source) if headings is None else MarkedText(source, headings, frozenset())


def _obvious_headings(source: bytes) -> list[Mark] | None:
    """Return the headings of a text in which nothing but lines that begin with `#` can be a mark; None for others.

    Most cards are like that, and the events of a whole text cost ten times as much. Behind a blank line, in a text
    without fences and HTML, a line that begins with `#` always begins a block of its own (CommonMark 0.31, 4.2), and
    what it says depends on no other line but for the targets of links. The parser reads it all the same.
    """
    for hidden in _MAY_HIDE:
        if hidden in source:
            return None
    for first, hidden in _MAY_HIDE_LONG:
        if first in source and hidden in source:
            return None
    lines = b"\n" + source  # so that every line stands behind a line feed, the first one too
    size = len(source)
    headings: list[Mark] = []
    for found in _MARK_LINE.finditer(lines):
        line = found[1]
        if line is None or len(line) >= _MAX_LINE_BYTES or b"[" in line:
            return None
        start = found.start()  # in `source`; `lines` has one byte more before it
        if start > 1 and source[start - 2] != _LINE_FEED:
            return None
        heading = _heading_of(line)
        if heading is not None:
            headings.append(Mark(heading[0], start, min(start + len(line) + 1, size), heading[1]))
    return headings


@lru_cache(maxsize=4096)
def _heading_of(line: bytes) -> tuple[int, str] | None:
    """Return level and plain text of the heading that a line is by itself; None where it is none."""
    marks = _parsed(line.decode(), line).headings
    return (marks[0].level, marks[0].text) if marks else None


def _parsed(text: str, source: bytes) -> MarkedText:
    headings: list[Mark] = []
    rules: list[int] = []
    containers = 0
    parts: list[str] | None = None
    event: Any
    # The events are never held together: some hundred small dicts a card would set off the garbage collector.
    for event, place in _PARSER.events_with_range(text):
        if type(event) is str:
            if parts is not None:
                parts.append(" ")
            elif event == "Rule" and not containers:
                rules.append(place["start"])
        elif "Start" in event:
            tag = event["Start"]
            if type(tag) is dict:
                if "Heading" in tag:
                    parts = []
                elif "List" in tag or "BlockQuote" in tag:
                    containers += 1
        elif "End" in event:
            tag = event["End"]
            if type(tag) is dict:
                if "Heading" in tag:
                    if parts is not None and not containers:
                        heading = " ".join("".join(parts).split())
                        headings.append(Mark(_LEVELS[tag["Heading"]], place["start"], place["end"], heading))
                    parts = None
                elif "List" in tag or "BlockQuote" in tag:
                    containers -= 1
        elif parts is not None:
            parts.extend(text for kind, text in event.items() if kind != "InlineHtml" or text[:4] != "<!--")
    return MarkedText(source, headings, frozenset(rules))


class Label(NamedTuple):
    """A bold label, and the list marker before it: labels behind different markers are of different kinds."""

    marker: bytes
    mark: Mark


def labels(marked: MarkedText) -> tuple[Label, ...]:
    """Return the bold labels at the starts of lines, such as `**Tagline:** text` and `- **Problem** – text`."""
    source = marked.source
    found: list[Label] = []
    start: int | None = None
    parts: list[str] = []
    event: Any
    for event, place in _PARSER.events_with_range(source.decode()):
        if event == _STRONG_START:
            start, parts = place["start"], []
        elif event == _STRONG_END and start is not None:
            label = _label(source, start, place["end"], "".join(parts))
            if label is not None:
                found.append(label)
            start = None
        elif start is not None:
            parts.append(" " if type(event) is str else event.get("Text") or event.get("Code") or "")
    return tuple(found)


def unfenced(text: str) -> str:
    """Return what is within the fence where the whole text is one fenced block of Markdown, else the text."""
    stripped = text.strip()
    if not stripped.startswith(_FENCES):
        return text
    events: Iterator[tuple[Any, Any]] = iter(_PARSER.events_with_range(stripped))
    opening, place = next(events)
    block = opening["Start"]
    if type(block) is not dict or "CodeBlock" not in block or place["end"] < len(stripped.encode()):
        return text
    if block["CodeBlock"]["Fenced"].strip().lower() not in _MARKDOWN_FENCES:
        return text
    return "".join(event["Text"] for event, _ in events if "Text" in event)


def _label(source: bytes, start: int, end: int, text: str) -> Label | None:
    earliest = max(0, start - _MAX_MARKER_BYTES)
    line_end = source.rfind(b"\n", earliest, start)
    if line_end < 0 and earliest:
        return None
    line_start = line_end + 1
    before = _LIST_MARKER.fullmatch(source, line_start, start)
    if before is None:
        return None
    text = text.strip()
    if text.endswith((":", "：")):
        text = text.rstrip(":： ")
        after = _SPACES.match(source, end)
    else:
        after = _LABEL_END.match(source, end) or _LINE_END.match(source, end)
    if after is None:
        return None
    marker = b"1." if before[1] and before[1][:1].isdigit() else before[1] or b""
    return Label(marker, Mark(LABEL_LEVEL, line_start, after.end(), text))
