"""What is kept as bytes beside the rows."""

from __future__ import annotations

from shared.documents import Document
from shared.mapping.kept import kept_documents

MARKDOWN = Document("trend-analysis.md", b"# Trends")
MAIN = Document("trends.json", b"{}")
FURTHER = Document("notes.json", b"[]")


def test_a_planned_output_keeps_nothing() -> None:
    assert kept_documents((MARKDOWN, MAIN), "trends.json") == ()


def test_json_beside_the_main_one_is_kept() -> None:
    assert kept_documents((MARKDOWN, MAIN, FURTHER), "trends.json") == (FURTHER,)


def test_a_main_json_that_jsonb_would_change_is_kept() -> None:
    assert kept_documents((MARKDOWN, MAIN), "trends.json", main_json_exact=False) == (MAIN,)


def test_what_is_neither_markdown_nor_json_is_kept() -> None:
    odd = Document("image.png", b"\x89PNG")
    assert kept_documents((odd, MARKDOWN, MAIN), "trends.json") == (odd,)


def test_kept_documents_stand_in_natural_order() -> None:
    ten, two = Document("n-10.json", b"{}"), Document("n-2.json", b"{}")
    assert kept_documents((ten, MAIN, two), "trends.json") == (two, ten)
