"""Whatever the documents are, they map or are malformed, and their order never matters."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.comparing.json_value import canonical_json
from shared.documents import Document
from shared.errors import Malformed
from shared.ids import RunId, Stage
from shared.mapping import map_output
from shared.reasons import Reason
from shared.rows import MappedOutput

RUN = RunId("run-1761684318140-2849")
NAMES = (
    "inspirations.json",
    "trends.json",
    "lessons.json",
    "context.json",
    "opportunities.json",
    "other.json",
    "inspiration-analysis.md",
    "opportunity-1.md",
    "opportunity-02.md",
    "opportunity-9.md",
    "opportunities-summary.md",
    "notes.txt",
)
KEYS = (
    *("inspirations", "inspiration_1", "inspiration_2", "track_1", "track_2", "selected_track", "selected_tracks"),
    *("title", "content", "summary", "key_elements", "opportunities", "number", "tagline", "problem", "solution"),
    *("why_now", "target_segment", "quick_win", "description", "actionability_items", "brand_id"),
)
MARKDOWN_LINES = (
    "# Title",
    "## Problem",
    "## **Why now** (facts)",
    "### Quick-Win",
    "## Opportunity 2: Idea",
    "**Tagline:** text",
    "- **Solution:** text",
    "```",
    "```markdown",
    "---",
    "===",
    "brand: halewick",
    "input_source: a: b",
    "tags: [a",
    "<!--",
    "-->",
    "> # quoted",
    "| a | b |",
    "|---|---|",
    "",
    "    code",
    "text – é",
    "\ufeff",
)

stages = st.sampled_from(Stage)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 7) | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=30,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)
json_texts = (objects | values).map(json.dumps).map(str.encode)
markdown_texts = st.tuples(
    st.lists(st.sampled_from(MARKDOWN_LINES) | st.text(max_size=12), max_size=20),
    st.sampled_from(["\n", "\r\n", "\r"]),
).map(lambda drawn: drawn[1].join(drawn[0]).encode("utf-8", "surrogatepass"))
valid_texts = st.sampled_from(
    [
        json.dumps({"inspirations": [{"title": "a", "content": "b", "key_elements": ["c"]}] * 2}).encode(),
        json.dumps(
            {"track_1": {"title": "a", "summary": "b"}, "track_2": {"title": "c", "summary": "d"}}
        ).encode(),
        json.dumps({"opportunities": [{"title": "a", "problem": "b", "number": n} for n in range(1, 6)]}).encode(),
        json.dumps({"brand_id": "halewick", "é": [1.5, -2, "\U0001f600"]}).encode(),
        b"---\nbrand: x\n---\n# T\n\n## Problem\n\ntext\n\n## Solution\n\nmore\n",
        b"## Opportunity 1: A\n**Problem:** x\n\n## Opportunity 2: B\n**Problem:** y\n",
    ]
)


@st.composite
def mutated_texts(draw: st.DrawFn) -> bytes:
    text = draw(valid_texts)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 8)))
    return (
        text[:start]
        + draw(st.binary(max_size=3) | st.sampled_from([b"\\u0000", b"\\ud800", b'"', b"{", b"NaN"]))
        + text[end:]
    )


contents = st.binary(max_size=40) | json_texts | markdown_texts | valid_texts | mutated_texts()
names = st.sampled_from(NAMES) | st.text(max_size=12).map(lambda name: name + ".md") | st.text(max_size=8)
documents = st.builds(Document, names, contents)


def outcome(stage: Stage, output: list[Document]) -> Any:
    """Return the mapped output, or what a Malformed says; any other exception is the test's failure."""
    try:
        result = map_output(RUN, stage, output)
    except Malformed as error:
        return error.reason, error.sentence, error.place
    check_storable(result)
    return result


def check_storable(result: MappedOutput) -> None:
    texts = [result.stage_output.markdown_output, result.stage_output.json_output or ""]
    rows: list[Any] = [*result.cards, *filter(None, [result.report])]
    for row in rows:
        for field in row.__dataclass_fields__:
            value = getattr(row, field)
            texts.extend(value if isinstance(value, tuple) else [str(value)])
    texts.extend(gap.text for gap in result.gaps)
    texts.extend(fact[0] for fact in (result.facts.company_id, result.facts.document_name) if fact)
    for text in texts:
        assert "\0" not in text
        text.encode()
    assert result.stage_output.markdown_utf8 == result.stage_output.markdown_output.encode()
    if result.stage_output.json_canonical is not None:
        assert result.stage_output.json_canonical.text == canonical_json(result.stage_output.json_output or "")
    for card in result.cards:
        assert 1 <= card.number <= 5
        assert card.title
        assert any((card.tagline, card.problem, card.solution, card.why_now, card.target_segment, card.quick_win))


@given(stages, st.lists(documents, max_size=5), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_any_documents_map_or_are_malformed_in_whatever_order(
    stage: Stage, output: list[Document], random: Any
) -> None:
    shuffled = list(output)
    random.shuffle(shuffled)
    first = outcome(stage, output)
    assert first == outcome(stage, shuffled)
    if isinstance(first, tuple):
        reason, sentence, _ = first
        assert reason in Reason
        assert "\0" not in sentence
        sentence.encode()


@given(stages, st.sampled_from(NAMES), contents)
@settings(deadline=None)
def test_any_single_document_maps_or_is_malformed(stage: Stage, name: str, content: bytes) -> None:
    outcome(stage, [Document(name, content)])


CARD_START = b"# T\n## Problem\n"


@pytest.mark.parametrize(
    ("stage", "name", "content"),
    [
        (2, "trends.json", b"[" * 200_000),
        (2, "trends.json", b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
        (5, "opportunity-1.md", CARD_START + b">" * 30_000),
        (5, "opportunity-1.md", CARD_START + b"- " * 30_000),
        (5, "opportunity-1.md", CARD_START + b"1. " * 20_000),
        (5, "opportunity-1.md", CARD_START + b"---\n\n" * 10_000),
        (5, "opportunity-1.md", CARD_START + b"[" * 30_000),
        (5, "opportunity-1.md", b"# T\n\n**Problem:** x " + b"**b** " * 10_000),
        (5, "opportunity-1.md", b"---\nbrand: " + b"[" * 12_000 + b"\n---\n" + CARD_START),
        (5, "all.md", b"## Card 1: x\n**Problem:** y\n" * 1_000),
        (5, "opportunities.json", b'{"opportunities":[' + b"{}," * 100_000 + b"{}]}"),
    ],
)
def test_hostile_documents_neither_crash_nor_hang(stage: int, name: str, content: bytes) -> None:
    started = time.thread_time()
    outcome(Stage(stage), [Document(name, content)])
    assert time.thread_time() - started < 10
