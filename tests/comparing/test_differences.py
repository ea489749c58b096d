"""Rows compare field by field, and each difference is named with its place."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from shared.comparing import Difference, StoredRow, StoredRows, differences
from shared.ids import RunId, Stage
from shared.rows import InspirationReportRow, MappedOutput, OpportunityCardRow, OutputFacts, StageOutputRow

RUN = RunId("run-1")
OUTPUT = StageOutputRow(RUN, Stage.OPPORTUNITIES, "# One\n\n# Two\n", '{"opportunities": [{"title": "One"}]}')
REPORT = InspirationReportRow(RUN, "One", "First", ("a", "b"), "Two", "Second", ())
CARDS = tuple(
    OpportunityCardRow(RUN, number, f"Title {number}", "Tagline", "Problem", "Solution", "Why", "Target", "Win")
    for number in (1, 2)
)
EXPECTED = MappedOutput(Stage.OPPORTUNITIES, OUTPUT, REPORT, CARDS, (), (), OutputFacts())
ACTUAL = StoredRows(
    StoredRow("o", OUTPUT), StoredRow("r", REPORT), tuple(StoredRow(f"c{card.number}", card) for card in CARDS)
)


def _with_card(number: int, **changes: Any) -> StoredRows:
    cards = tuple(
        replace(card, values=replace(card.values, **changes)) if card.values.number == number else card
        for card in ACTUAL.cards
    )
    return replace(ACTUAL, cards=cards)


def _with_output(**changes: Any) -> StoredRows:
    return replace(ACTUAL, stage_output=StoredRow("o", replace(OUTPUT, **changes)))


def _with_report(**changes: Any) -> StoredRows:
    return replace(ACTUAL, report=StoredRow("r", replace(REPORT, **changes)))


def test_equal_rows_have_no_difference() -> None:
    assert differences(EXPECTED, ACTUAL) == ()


def test_a_star_is_no_difference() -> None:
    starred = replace(ACTUAL, cards=tuple(replace(card, starred=True) for card in ACTUAL.cards))
    assert differences(EXPECTED, starred) == ()


def test_json_of_another_spelling_is_no_difference() -> None:
    spelled = _with_output(json_output='{"opportunities":[{"title":"\\u004fne"}]}')
    assert differences(EXPECTED, spelled) == ()


def test_one_changed_character_is_named_with_its_place() -> None:
    assert differences(EXPECTED, _with_output(markdown_output="# One\n\n# two\n")) == (
        Difference(
            "StageOutput",
            5,
            "markdownOutput",
            "# One\n\n# Two\n",
            "# One\n\n# two\n",
            "character 10 (line 3, column 3)",
        ),
    )


def test_a_difference_far_into_a_long_text_is_excerpted() -> None:
    expected = replace(EXPECTED, stage_output=replace(OUTPUT, markdown_output="x" * 500 + "y" + "z" * 500))
    (found,) = differences(expected, _with_output(markdown_output="x" * 500))
    assert found.expected == "\u2026" + "x" * 20 + "y" + "z" * 39 + "\u2026"
    assert found.actual == "\u2026" + "x" * 20
    assert found.position == "character 501 (line 1, column 501)"


@pytest.mark.parametrize("field", [field.name for field in fields(OpportunityCardRow)][2:])
def test_every_field_of_a_card_is_compared(field: str) -> None:
    (found,) = differences(EXPECTED, _with_card(2, **{field: "Changed"}))
    assert (found.table, found.number, found.field, found.actual) == ("OpportunityCard", 2, field, "Changed")


@pytest.mark.parametrize(
    ("field", "column", "value"),
    [
        ("inspiration1_title", "inspiration1Title", "x"),
        ("inspiration1_content", "inspiration1Content", "x"),
        ("inspiration1_elements", "inspiration1Elements", ("a",)),
        ("inspiration2_title", "inspiration2Title", "x"),
        ("inspiration2_content", "inspiration2Content", "x"),
        ("inspiration2_elements", "inspiration2Elements", ("a",)),
    ],
)
def test_every_field_of_a_report_is_compared(field: str, column: str, value: Any) -> None:
    (found,) = differences(EXPECTED, _with_report(**{field: value}))
    assert (found.table, found.number, found.field) == ("InspirationReport", 0, column)


def test_a_changed_element_is_named_by_its_number() -> None:
    (found,) = differences(EXPECTED, _with_report(inspiration1_elements=("a", "B")))
    assert (found.expected, found.actual, found.position) == ("b", "B", "item 2, character 1 (line 1, column 1)")
    (found,) = differences(EXPECTED, _with_report(inspiration1_elements=("a", "b", "c")))
    assert (found.expected, found.actual, found.position) == (None, "c", "item 3")


def test_a_json_difference_is_named_by_its_path() -> None:
    (found,) = differences(EXPECTED, _with_output(json_output='{"opportunities": [{"title": "Two"}]}'))
    assert found == Difference("StageOutput", 5, "jsonOutput", '"One"', '"Two"', "$.opportunities[0].title")
    (found,) = differences(EXPECTED, _with_output(json_output=None))
    assert (found.actual, found.position) == (None, "$")


def test_swapped_cards_differ_both() -> None:
    one, two = ACTUAL.cards
    swapped = (
        replace(one, values=replace(two.values, number=1)),
        replace(two, values=replace(one.values, number=2)),
    )
    found = differences(EXPECTED, replace(ACTUAL, cards=swapped))
    assert [(each.number, each.field) for each in found] == [(1, "title"), (2, "title")]


def test_missing_rows_are_named() -> None:
    found = differences(EXPECTED, StoredRows(cards=ACTUAL.cards[1:]))
    assert [(each.table, each.number, each.expected, each.actual) for each in found] == [
        ("StageOutput", 5, "a row", None),
        ("InspirationReport", 0, "a row", None),
        ("OpportunityCard", 1, "a row", None),
    ]


def test_rows_that_nothing_expects_are_named() -> None:
    found = differences(replace(EXPECTED, report=None, cards=CARDS[:1]), ACTUAL)
    assert [(each.table, each.number, each.expected, each.actual) for each in found] == [
        ("InspirationReport", 0, None, "a row"),
        ("OpportunityCard", 2, None, "a row"),
    ]
