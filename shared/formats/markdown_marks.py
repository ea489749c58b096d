"""Markdown marks: where the headings, rules and bold labels of a Markdown text stand.

All offsets are in bytes of the UTF-8 text, because that is how pulldown-cmark counts. Headings within lists and
quotations are part of the text that they stand in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pyromark import Markdown, Options

_PARSER: Final = Markdown(options=Options.ENABLE_TABLES)

#: A label counts as deeper than every heading.
LABEL_LEVEL: Final = 7

_LEVELS: Final = {f"H{level}": level for level in range(1, 7)}
_LIST_MARKER: Final = re.compile(rb"[ \t]*([-*+]|[0-9]+[.)])?[ \t]*")
_LABEL_END: Final = re.compile(rb"[ \t]*(?::|\xef\xbc\x9a|\xe2\x80\x93|\xe2\x80\x94|-(?=\s))[ \t]*")
_SPACES: Final = re.compile(rb"[ \t]*")
_LINE_END: Final = re.compile(rb"[ \t]*(?:\r?\n|\Z)")
_FENCES: Final = ("```", "~~~")
_MARKDOWN_FENCES: Final = frozenset({"", "md", "markdown"})


@dataclass(frozen=True, slots=True)
class Mark:
    """A heading or label: its plain text, and the bytes that it covers, from `start` to `end`."""

    level: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A Markdown text with the marks in it."""

    source: bytes
    headings: Sequence[Mark]
    rules: frozenset[int]
    events: Sequence[Any]


def mark(text: str) -> MarkedText:
    """Return the text with its headings and rules, in the order in which they stand."""
    events: list[Any] = list(_PARSER.events_with_range(text))
    headings: list[Mark] = []
    rules: list[int] = []
    containers = 0
    heading: str | None = None
    parts: list[str] = []
    for event, place in events:
        if type(event) is str:
            if heading is not None:
                parts.append(" ")
            elif event == "Rule" and not containers:
                rules.append(place["start"])
            continue
        ((kind, payload),) = event.items()
        if kind == "Start":
            if type(payload) is dict:
                if "Heading" in payload:
                    heading, parts = payload["Heading"]["level"], []
                elif "List" in payload or "BlockQuote" in payload:
                    containers += 1
        elif kind == "End":
            if type(payload) is dict:
                if "Heading" in payload:
                    if not containers:
                        title = " ".join("".join(parts).split())
                        headings.append(Mark(_LEVELS[payload["Heading"]], place["start"], place["end"], title))
                    heading = None
                elif "List" in payload or "BlockQuote" in payload:
                    containers -= 1
        elif heading is not None and (kind in ("Text", "Code") or not str(payload).startswith("<!--")):
            parts.append(str(payload))
    return MarkedText(text.encode(), headings, frozenset(rules), events)


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
    for event, place in marked.events:
        if type(event) is str:
            parts.append(" ")
            continue
        ((kind, payload),) = event.items()
        if kind == "Start" and payload == "Strong":
            start, parts = place["start"], []
        elif kind == "End" and payload == "Strong" and start is not None:
            label = _label(source, start, place["end"], "".join(parts))
            if label is not None:
                found.append(label)
            start = None
        elif kind in ("Text", "Code"):
            parts.append(str(payload))
    return tuple(found)


def unfenced(text: str) -> str:
    """Return what is within the fence where the whole text is one fenced block of Markdown, else the text."""
    stripped = text.strip()
    if not stripped.startswith(_FENCES):
        return text
    events: list[Any] = list(_PARSER.events_with_range(stripped))
    opening, place = events[0]
    info = opening["Start"]["CodeBlock"]["Fenced"]
    if place["end"] < len(stripped.encode()) or info.strip().lower() not in _MARKDOWN_FENCES:
        return text
    return "".join(event["Text"] for event, _ in events[1:-1])


def _label(source: bytes, start: int, end: int, text: str) -> Label | None:
    line_start = source.rfind(b"\n", 0, start) + 1
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
