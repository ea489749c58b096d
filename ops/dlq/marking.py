"""Marking: the place of the fault in a document, as lines for a terminal. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from rich.cells import cell_len

from shared.counting import counted
from shared.errors import Place
from shared.printable import cropped, printable, printable_lines

_LINES_AROUND: Final = 3
_LINES_OF_SECTION: Final = 12
_GUTTER: Final = len("▶ 12345 │ ")
_LEAST_WIDTH: Final = 20
_HEADING: Final = re.compile(r"^\s{0,3}(?:#{1,6}\s+(?P<text>.*?)\s*#*|\*\*(?P<bold>[^*]+)\*\*.*)\s*$")
_DECORATION: Final = re.compile(r"^[\d.)\s]+|[*_`:]+")


class LineKind(Enum):
    """What a line of the excerpt is."""

    CONTEXT = auto()
    FAULT = auto()
    CARET = auto()
    OMITTED = auto()


@dataclass(frozen=True, slots=True)
class MarkedLine:
    """One line of the excerpt, ready to print."""

    kind: LineKind
    text: str


def marked(text: str, place: Place, width: int) -> list[MarkedLine]:
    """Return the lines of a document around a place, none wider than `width` characters.

    A line and column get a caret, a section its heading and first lines; without either the document's beginning
    is shown.
    """
    room = max(width - _GUTTER, _LEAST_WIDTH)
    raw_lines = text.split("\n")
    line = place.line if place.line is not None else _line_of_section(raw_lines, place.section)
    if line is None:
        return _beginning(text, room)
    line = min(max(line, 1), len(raw_lines))
    if place.column is None:
        first, last = line - _LINES_AROUND, line + _LINES_AROUND
        if place.section is not None:
            first, last = line, min(_end_of_section(raw_lines, line), line + _LINES_OF_SECTION)
        return _excerpt(text, first, last, fault=line, room=room)
    before = _excerpt(text, line - _LINES_AROUND, line - 1, fault=None, room=room)
    after = _excerpt(text, line + 1, line + _LINES_AROUND, fault=None, room=room)
    return [*before, *_with_caret(raw_lines[line - 1], line, place.column, room), *after]


def _beginning(text: str, room: int) -> list[MarkedLine]:
    lines = _excerpt(text, 1, _LINES_OF_SECTION, fault=None, room=room)
    omitted = text.count("\n") + 1 - len(lines)
    if omitted > 0:
        lines.append(MarkedLine(LineKind.OMITTED, f"{'':{_GUTTER - 2}}… {counted(omitted, 'more line')}"))
    return lines


def _excerpt(text: str, first: int, last: int, *, fault: int | None, room: int) -> list[MarkedLine]:
    lines = printable_lines(text)
    return [
        MarkedLine(
            LineKind.FAULT if number == fault else LineKind.CONTEXT,
            _gutter(number, number == fault) + cropped(lines[number - 1], room),
        )
        for number in range(max(first, 1), min(last, len(lines)) + 1)
    ]


def _with_caret(raw_line: str, number: int, column: int, room: int) -> list[MarkedLine]:
    """Return the line, cut so that the column is in sight, and the caret below it."""
    raw_line = raw_line.removesuffix("\r")
    column = min(max(column, 1), len(raw_line) + 1)
    start = 0
    if len(raw_line) > room:
        start = min(max(column - 1 - room // 2, 0), max(len(raw_line) - room + 1, 0))
    lead = "…" if start else ""
    shown = lead + printable(raw_line[start:].expandtabs(4))
    caret_at = cell_len(lead + printable(raw_line[start : column - 1].expandtabs(4)))
    return [
        MarkedLine(LineKind.FAULT, _gutter(number, fault=True) + cropped(shown, room)),
        MarkedLine(LineKind.CARET, f"{'':{_GUTTER - 2}}│ " + " " * caret_at + "^"),
    ]


def _gutter(number: int, fault: bool) -> str:
    return f"{'▶' if fault else ' '} {number:>5} │ "


def _line_of_section(lines: list[str], section: str | None) -> int | None:
    if not section:
        return None
    wanted = _plain(section)
    headings = [(number, _heading(line)) for number, line in enumerate(lines, start=1)]
    for matches in (lambda heading: heading == wanted, lambda heading: wanted in heading):
        for number, heading in headings:
            if heading is not None and matches(heading):
                return number
    return None


def _end_of_section(lines: list[str], heading_line: int) -> int:
    for number, line in enumerate(lines[heading_line:], start=heading_line + 1):
        if line.lstrip().startswith("#") and _heading(line) is not None:
            return number - 1
    return len(lines)


def _heading(line: str) -> str | None:
    match = _HEADING.match(line)
    return None if match is None else _plain(match["text"] if match["text"] is not None else match["bold"])


def _plain(heading: str) -> str:
    return " ".join(_DECORATION.sub("", heading.lstrip("# ")).casefold().split())
