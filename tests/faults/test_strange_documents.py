"""Hundreds of strange documents through a real worker: each is stored and read back equal, or dies by its reason."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

from real_workers import Site
from strange_json import documents
from writing_bench import outputs

from shared.contract import Hints
from shared.documents import Document

HOSTILE_STRINGS = 500
COLUMNS = ("title", "tagline", "problem", "solution", "why_now", "target_segment", "quick_win")

#: What texts are made of to do harm: to SQL, JSON, Markdown, YAML, terminals, encoders and parsers.
PIECES = (
    *("'", '"', "\\", "''", "';--", '"; DROP TABLE "Run";--', "$$", "$1", "%s", "%(a)s", "{0}", "{{", "\\x00"),
    *("\\u0000", "\x00", "\ud800", "\udfff", "\x01", "\x07", "\x1b[31m", "\x7f", "\x80", "\x9f", "\u00ad", "\u200b"),
    *("\u200f", "\u2028", "\u2029", "\u202e", "\ufeff", "\ufffe", "\uffff", "\U0010ffff", "é", "e\u0301", "字", "한"),
    *("ع", "😀", "ﷺ", "\u0344", "a"),
    *("👩‍👩‍👧", "\t", "\n", "\r\n", "\r", "  ", "# ", "## Problem\n", "---\n", "```", "```json\n", "<!-- ", " -->"),
    *("<b>", "</script>", "&amp;", "|", "* ", "1. ", "> ", "[a](b)", "![", "~~~", "\\n", "null", "NaN", "1e999"),
    *("-0.0", "true", "{", "}", "[", "]", ",", ":", "=cmd|' /C calc'!A0", "../../etc/passwd", "x" * 5_000),
)  # fmt: skip


def hostile_strings() -> list[str]:
    """Each piece alone, and pieces put together at random."""
    rng = Random(318)
    found = dict.fromkeys(PIECES)
    while len(found) < HOSTILE_STRINGS:
        found["".join(rng.choices(PIECES, k=rng.randint(2, 6)))] = None
    # In JSON these two, one after the other, are an ordinary character.
    return [text.replace("\ud800\udfff", "\udfff\ud800") for text in found]


def is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def by_value(text: str | bytes) -> Any:
    """JSON by value: numbers as decimals, the last of equal keys."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def test_strange_json_is_stored_and_read_back_equal_or_dies_by_its_reason(site: Site) -> None:
    strange = documents()
    assert len(strange) >= 318
    worker = site.start_worker()
    site.publish(
        outputs(f"strange-{number:03d}", (2, (Document("trends.json", one.content),), 0))
        for number, one in enumerate(strange)
    )
    site.drain()
    stored = {
        row["runId"]: row["jsonOutput"] for row in site.rows('SELECT "runId", "jsonOutput" FROM "StageOutput"')
    }
    reasons = {
        row["run_id"]: row["reason"] for row in site.rows("SELECT run_id, reason FROM runferry.dead_letter")
    }
    for number, one in enumerate(strange):
        run_id = f"strange-{number:03d}"
        shown = one.content[:100]
        assert reasons.get(run_id) == (one.reason and one.reason.value), shown
        assert (run_id in stored) == (one.reason is None), shown
        if one.reason is None:
            assert by_value(stored[run_id]) == by_value(one.content.removeprefix(b"\xef\xbb\xbf")), shown
    verdicts = Counter("applied" if one.reason is None else "dead_lettered" for one in strange)
    assert site.verdicts() == verdicts
    assert worker.poll() is None
    assert site.stop_workers() == [0]
    assert not site.leftovers()


def run_of(number: int, text: str) -> Any:
    """A run with the text in every field that takes text."""
    inspiration = {"title": text, "content": text, "key_elements": [text, "plain"]}
    card = dict.fromkeys(COLUMNS, text)
    markdown = f"# A\n\n{text}\n".encode("utf-8", "surrogatepass")
    bodies = {
        1: Document("inspirations.json", json.dumps({"inspirations": [inspiration, inspiration]}).encode()),
        2: Document("trends.json", json.dumps({"a": [{text: text}], "b": text}).encode()),
        3: Document("universal-lessons.md", markdown),
        5: Document("opportunities.json", json.dumps({"opportunities": [{"number": 3, **card}]}).encode()),
    }
    hints = Hints(stages_at_source=tuple(bodies))
    return outputs(f"hostile-{number:03d}", *((stage, (body,), 0) for stage, body in bodies.items()), hints=hints)


def test_hostile_text_in_every_field_is_stored_and_read_back_equal_or_dies_by_its_reason(site: Site) -> None:
    texts = hostile_strings()
    worker = site.start_worker()
    site.publish(run_of(number, text) for number, text in enumerate(texts))
    site.drain()
    reasons: dict[str, dict[int, str]] = {}
    for row in site.rows("SELECT run_id, stage, reason FROM runferry.dead_letter"):
        reasons.setdefault(row["run_id"], {})[row["stage"]] = row["reason"]
    reports = {row["runId"]: row for row in site.rows('SELECT * FROM "InspirationReport"')}
    cards = {row["runId"]: row for row in site.rows('SELECT * FROM "OpportunityCard"')}
    stages = {(row["runId"], row["stageNumber"]): row for row in site.rows('SELECT * FROM "StageOutput"')}
    for number, text in enumerate(texts):
        run_id = f"hostile-{number:03d}"
        dead = reasons.get(run_id, {})
        if not is_storable(text):
            of_markdown = "unstorable_text" if "\x00" in text and not _has_surrogate(text) else "not_utf8"
            assert dead == {
                1: "unstorable_text",
                2: "unstorable_text",
                3: of_markdown,
                5: "unstorable_text",
            }, ascii(text)
            continue
        # A card of white space alone says nothing, and is no card.
        assert dead == ({} if text.strip() else {5: "card_without_sections"}), (ascii(text), dead)
        assert by_value(stages[run_id, 2]["jsonOutput"]) == {"a": [{text: text}], "b": text}
        assert text in stages[run_id, 3]["markdownOutput"]
        report, card = reports[run_id], cards.get(run_id, {})
        for field in ("inspiration1Title", "inspiration1Content", "inspiration2Title", "inspiration2Content"):
            assert report[field] == text, (field, ascii(text))
        assert report["inspiration1Elements"] == report["inspiration2Elements"] == [text, "plain"]
        if text.strip():
            assert {column: card[column] for column in COLUMNS} == dict.fromkeys(COLUMNS, text), ascii(text)
            assert card["number"] == 3
    assert sum(site.verdicts().values()) == 4 * len(texts)
    assert worker.poll() is None
    assert site.stop_workers() == [0]
    assert not site.leftovers()


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
