"""The place of the fault is marked in the document."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from ops.dlq.marking import LineKind, marked
from shared.errors import Place

JSON = '{\n  "a": 1,\n  "b": [}\n  "c": 2\n}\n'


def texts(lines):
    return [line.text for line in lines]


def test_a_line_and_column_in_json_get_a_caret_below_them():
    assert texts(marked(JSON, Place("a.json", 3, 9), 80)) == [
        "      1 │ {",
        '      2 │   "a": 1,',
        '▶     3 │   "b": [}',
        "        │         ^",
        '      4 │   "c": 2',
        "      5 │ }",
        "      6 │ ",
    ]


def test_the_caret_stands_below_wide_characters_and_tabs():
    fault, caret = marked('\t"日本": x', Place("a.json", 1, 8), 80)
    assert cell_len(fault.text[: fault.text.index("x")]) == caret.text.index("^")


@pytest.mark.parametrize("width", [40, 60, 200])
@pytest.mark.parametrize("column", [1, 500, 5_000, 10_000])
def test_of_a_long_line_the_part_with_the_fault_is_shown(width, column):
    line = "".join(chr(ord("a") + i % 26) for i in range(10_000))
    fault, caret = marked(line, Place("a.json", 1, column), width)
    assert len(fault.text) <= width
    assert fault.text[caret.text.index("^")] == line[column - 1]


def test_a_column_behind_the_end_marks_the_end():
    assert texts(marked("{", Place("a.json", 7, 99), 80)) == ["▶     1 │ {", "        │  ^"]


def test_a_section_in_markdown_is_marked_by_its_heading():
    text = "# Title\n\n## Tagline\nShort.\n\n## 3. **Problem & Target**\nLine.\n\n## Solution\nNo.\n"
    lines = marked(text, Place("opportunity-1.md", section="Problem & Target"), 80)
    assert texts(lines) == ["▶     6 │ ## 3. **Problem & Target**", "      7 │ Line.", "      8 │ "]
    assert lines[0].kind is LineKind.FAULT


def test_without_a_place_the_document_is_shown_from_its_beginning():
    lines = marked("\n".join(str(n) for n in range(40)), Place("a.md"), 80)
    assert len(lines) == 13
    assert lines[-1].text.strip() == "… 28 more lines"


def test_control_characters_of_a_document_never_reach_the_terminal():
    lines = marked("\x1b[2Jgone\r\n\x00\u202eright", Place("a.md"), 80)
    assert all(line.text.isprintable() for line in lines)
    assert "␛[2Jgone" in lines[0].text
