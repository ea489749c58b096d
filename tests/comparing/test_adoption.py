"""Rows of another script are adopted where nothing but white space at the end of a text differs."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from shared.comparing import equal_enough_to_adopt
from shared.ids import RunId, Stage
from shared.rows import InspirationReportRow, OpportunityCardRow, StageOutputRow

RUN = RunId("run-1")
OUTPUT = StageOutputRow(RUN, Stage.TRENDS, "# Trends\n", '{"a": 1}')
CARD = OpportunityCardRow(RUN, 1, "Title", "Tagline", "Problem", "Solution", "Why", "Target", "Win")
REPORT = InspirationReportRow(RUN, "One", "First", ("a", "b"), "Two", "Second", ())


@pytest.mark.parametrize("field", [field.name for field in fields(CARD)][2:])
def test_a_card_section_may_end_in_white_space(field: str) -> None:
    assert equal_enough_to_adopt(CARD, replace(CARD, **{field: getattr(CARD, field) + " \n"}))
    assert not equal_enough_to_adopt(CARD, replace(CARD, **{field: " " + getattr(CARD, field)}))
    assert not equal_enough_to_adopt(CARD, replace(CARD, **{field: "x"}))


def test_a_card_of_another_number_is_another_card() -> None:
    assert not equal_enough_to_adopt(CARD, replace(CARD, number=2))


def test_a_section_whose_lines_were_joined_is_not_adopted() -> None:
    assert not equal_enough_to_adopt(replace(CARD, problem="one\ntwo"), replace(CARD, problem="one two "))


def test_a_report_may_end_its_texts_in_white_space() -> None:
    spaced = replace(REPORT, inspiration1_content="First ", inspiration1_elements=("a ", "b"))
    assert equal_enough_to_adopt(REPORT, spaced)
    assert not equal_enough_to_adopt(REPORT, replace(REPORT, inspiration1_elements=("a",)))
    assert not equal_enough_to_adopt(REPORT, replace(REPORT, inspiration2_title="x"))


def test_json_is_adopted_by_value_and_markdown_only_where_it_is_equal() -> None:
    assert equal_enough_to_adopt(OUTPUT, replace(OUTPUT, json_output='{"a":1.0}'))
    assert not equal_enough_to_adopt(OUTPUT, replace(OUTPUT, json_output='{"a":2}'))
    assert not equal_enough_to_adopt(OUTPUT, replace(OUTPUT, markdown_output="# Trends"))


def test_rows_of_other_tables_are_never_equal() -> None:
    assert not any(
        equal_enough_to_adopt(one, other)
        for one in (OUTPUT, CARD, REPORT)
        for other in (OUTPUT, CARD, REPORT)
        if one is not other
    )
