"""Cards are found in the JSON, else in their files, else within another document; never in two of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.documents import Document
from shared.errors import Malformed
from shared.formats.card_headings import Column
from shared.formats.cards import Card, missing_numbers, read_cards
from shared.formats.json_text import JsonText, parse_json
from shared.formats.limits import MAX_CARD_DOCUMENT_BYTES
from shared.reasons import Reason

PLANNED = {
    "number": 2,
    "title": "Shelf",
    "tagline": "t",
    "problem": "p\nq",
    "solution": "s",
    "why_now": "w",
    "target_segment": "g",
    "quick_win": "k",
}


def opportunities(*cards: Any) -> JsonText:
    return parse_json(Document("opportunities.json", json.dumps({"opportunities": cards}).encode()))


def file(number: object, body: str = "## Problem\nx\n") -> tuple[str, str]:
    return f"opportunity-{number}.md", f"# Card {number}\n{body}"


def fault(*args: Any) -> Malformed:
    with pytest.raises(Malformed) as raised:
        read_cards(*args)
    return raised.value


INLINE = ("summary.md", "## Opportunity 4: Inline\n**Problem:** x\n")


def test_planned_json_fills_every_column() -> None:
    (card,) = read_cards(opportunities(PLANNED), [])
    assert card == Card(2, "Shelf", {column: PLANNED[column.value] for column in Column})


def test_a_models_json_has_stand_ins_and_positions_for_numbers() -> None:
    value = {
        "title": "Van",
        "innovation_type": "service",
        "description": "A round.",
        "actionability_items": ["Call schools", "Borrow\na van", " "],
        "visual_description": "dawn",
        "follow_up_prompts": ["?"],
        "retail_metrics": {"reach": 3},
    }
    first, second = read_cards(opportunities(value, {**PLANNED, "number": None}), [])
    assert first == Card(
        1, "Van", {Column.SOLUTION: "A round.", Column.QUICK_WIN: "- Call schools\n- Borrow\n  a van"}
    )
    assert second.number == 2


def test_a_planned_column_beats_its_stand_in() -> None:
    (card,) = read_cards(opportunities({**PLANNED, "description": "d", "actionability_items": ["a"]}), [])
    assert (card.sections[Column.SOLUTION], card.sections[Column.QUICK_WIN]) == ("s", "k")


def test_json_beats_files_and_files_beat_inline_cards() -> None:
    assert [card.number for card in read_cards(opportunities(PLANNED), [file(1), INLINE])] == [2]
    assert [card.number for card in read_cards(None, [file(1), file(3), INLINE])] == [1, 3]
    assert [card.number for card in read_cards(None, [("notes.md", "# Notes\n"), INLINE])] == [4]
    assert read_cards(opportunities(), [file(1), INLINE]) == ()


def test_other_json_holds_no_cards() -> None:
    other = parse_json(Document("metrics.json", b'{"opportunities": 7}'))
    assert [card.number for card in read_cards(other, [file(5)])] == [5]


def test_cards_come_by_their_numbers() -> None:
    cards = read_cards(opportunities({**PLANNED, "number": 5}, {**PLANNED, "number": 1.0}), [])
    assert [card.number for card in cards] == [1, 5]
    assert missing_numbers(cards) == (2, 3, 4)


def test_a_number_in_a_file_name_may_have_leading_zeros() -> None:
    assert read_cards(None, [file("03")])[0].number == 3


@pytest.mark.parametrize(
    ("card", "section"),
    [
        ("text", "opportunities[0]"),
        ({**PLANNED, "title": 7}, "opportunities[0].title"),
        ({**PLANNED, "tagline": ["a"]}, "opportunities[0].tagline"),
        ({**PLANNED, "number": "2"}, "opportunities[0].number"),
        ({**PLANNED, "number": True}, "opportunities[0].number"),
        ({**PLANNED, "description": {}}, "opportunities[0].description"),
        ({**PLANNED, "actionability_items": "a"}, "opportunities[0].actionability_items"),
        ({**PLANNED, "actionability_items": ["a", None]}, "opportunities[0].actionability_items[1]"),
    ],
)
def test_json_of_the_wrong_shape_says_where(card: Any, section: str) -> None:
    error = fault(opportunities(card), [file(1)])
    assert (error.reason, error.place.section) == (Reason.JSON_SHAPE, section)


@pytest.mark.parametrize("value", [{}, {"opportunities": {}}, {"opportunities": None}, {"cards": []}])
def test_json_without_a_list_of_opportunities_is_of_the_wrong_shape(value: Any) -> None:
    document = parse_json(Document("opportunities.json", json.dumps(value).encode()))
    assert fault(document, [file(1)]).reason is Reason.JSON_SHAPE


@pytest.mark.parametrize(
    "number", [0, 6, -1, 1.5, 1e300, 10**30, pytest.param(10**400, id="beyond a float"), -0.5]
)
def test_a_number_outside_one_to_five_is_malformed(number: float) -> None:
    assert fault(opportunities({**PLANNED, "number": number}), []).reason is Reason.CARD_NUMBER


@pytest.mark.parametrize("number", [0, 6, 17, "9" * 5000])
def test_a_file_or_heading_numbered_outside_one_to_five_is_malformed(number: object) -> None:
    assert fault(None, [file(number)]).reason is Reason.CARD_NUMBER
    error = fault(None, [("all.md", f"## Opportunity {number}: X\n**Problem:** y\n")])
    assert error.reason is Reason.CARD_NUMBER


@pytest.mark.parametrize(
    "found",
    [
        (opportunities(PLANNED, PLANNED), []),
        (opportunities({**PLANNED, "number": None}, {**PLANNED, "number": 1}), []),
        (None, [file(2), file("02")]),
        (None, [("all.md", "## Opportunity 1: A\n**Problem:** x\n## Opportunity 1: B\n**Problem:** y\n")]),
    ],
)
def test_a_number_twice_is_malformed(found: tuple[Any, Any]) -> None:
    assert fault(*found).reason is Reason.CARD_NUMBER_TWICE


@pytest.mark.parametrize(
    "found",
    [
        (opportunities(*[{**PLANNED, "number": None}] * 6), []),
        (opportunities(*[{}] * 100), []),
        (None, [file(number) for number in range(1, 7)]),
        (None, [("all.md", "".join(f"## Card {number}: A\n**Problem:** x\n" for number in range(1, 7)))]),
    ],
)
def test_more_than_five_cards_are_malformed(found: tuple[Any, Any]) -> None:
    assert fault(*found).reason is Reason.TOO_MANY_CARDS


@pytest.mark.parametrize(
    "found",
    [
        (opportunities({"title": "Only a title"}), []),
        (opportunities({"title": "x", "tagline": "", "problem": " \n"}), []),
        (opportunities({}), []),
        (None, [file(1, "")]),
        (None, [file(1, "Text.\n\n## Visual\nv\n")]),
        (None, [file(1, "## Problem\n\n## Solution\n")]),
        (None, [file(1, "```\n## Problem\nx\n```\n")]),
        (None, [file(1), file(2, "## Auftakt\nx\n")]),
        (None, [("all.md", "## Opportunity 1: A\n**Problem:** x\n## Opportunity 2: B\nnothing\n")]),
    ],
)
def test_a_card_without_any_section_is_malformed(found: tuple[Any, Any]) -> None:
    assert fault(*found).reason is Reason.CARD_WITHOUT_SECTIONS


def test_a_card_document_that_is_too_long_to_parse_is_malformed() -> None:
    text = "é" * (MAX_CARD_DOCUMENT_BYTES // 2)
    error = fault(None, [file(1, f"## Problem\n{text}\n")])
    assert (error.reason, error.place.document) == (Reason.TOO_LARGE, "opportunity-1.md")
