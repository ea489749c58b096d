"""The marks of a Markdown text: whatever is read the short way, the parser's events say as well."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.formats import markdown_marks
from shared.formats.markdown_marks import Mark, mark

#: What begins, continues or hides a heading somewhere in Markdown.
_PIECES = st.sampled_from(
    [
        "\n", "\n\n", " ", "  ", "    ", "\t", "#", "##", "# ", "## ", "###### ", "####### ", " #", " ##",
        "# A #", "## B ##\n",
        "#tag", "text", "é", "— ", "\\", "\\#", "*", "**b**", "_i_", "`c`", "``", "```", "~~~", "<!--", "-->",
        "<pre>", "<b>",
        "[a]", "[a](b)", "[a]: /u\n", "![", "]", "|", "| a | b |\n", "|---|---|\n", "---", "-", "- ", "* ",
        "+ ", "1. ", "2) ", "> ",
        "===", "=", "***", "___", "- - -", "&amp;", "&#35; ", "\r", "\r\n", "\u2028", "\x0b", "\x0c", "\u00a0",
        "\ufeff", "$", "{#id}",
        ":", "**Problem:** x\n", "## Problem\n\n", "\n\n## Why Now\n", "$$", "^", "~", "%%",
    ]
)  # fmt: skip


@settings(max_examples=500)
@given(st.lists(_PIECES, max_size=14).map("".join))
def test_the_short_way_finds_what_the_parser_finds(text: str) -> None:
    source = text.encode()
    headings = markdown_marks._obvious_headings(source)
    if headings is not None:
        parsed = markdown_marks._parsed(text, source)
        assert headings == list(parsed.headings)
        assert not parsed.rules


def test_a_plain_card_is_read_the_short_way() -> None:
    text = "# Café\n\n## **Why now** (facts)\n\n- a\n- b\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n## Quick Win ##"
    headings = markdown_marks._obvious_headings(text.encode())
    assert headings == [Mark(1, 0, 8, "Café"), Mark(2, 9, 32, "Why now (facts)"), Mark(2, 73, 88, "Quick Win")]


@pytest.mark.parametrize(
    "text",
    [
        "```\n\n# code\n```\n",
        "<pre>\n\n# no\n</pre>\n",
        "Title\n=====\n",
        "text\n\n---\n",
        "a\n  # indented\n",
        "text\n# behind text\n",
        "# [a][b]\n\n[b]: /c\n",
        "a\r# b\r",
    ],
)
def test_what_is_not_obvious_is_left_to_the_parser(text: str) -> None:
    assert markdown_marks._obvious_headings(text.encode()) is None
    assert mark(text) == markdown_marks._parsed(text, text.encode())
