"""Headings find their column however they are written, exact names before looser ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.formats.card_headings import Column, Rank, column_of


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("Tagline", Column.TAGLINE),
        ("TAG-LINE", Column.TAGLINE),
        ("Problem", Column.PROBLEM),
        ("The Problem", Column.PROBLEM),
        ("1) Problem", Column.PROBLEM),
        ("(2) Problem", Column.PROBLEM),
        ("2.1. Problem Statement", Column.PROBLEM),
        ("IV. Problem", Column.PROBLEM),
        ("a) Problem", Column.PROBLEM),
        ("3 – Problem", Column.PROBLEM),
        ("Step 2: Solution", Column.SOLUTION),
        ("💡 Solution", Column.SOLUTION),
        ("Our solution", Column.SOLUTION),
        ("Solution: a shelf that talks", Column.SOLUTION),
        ("Solution — what it does", Column.SOLUTION),
        ("Why Now", Column.WHY_NOW),
        ("Why now?", Column.WHY_NOW),
        ("WHY‑NOW", Column.WHY_NOW),
        ("Why now (backed by facts)", Column.WHY_NOW),
        ("Why now: the problem grows", Column.WHY_NOW),
        ("why_now", Column.WHY_NOW),
        ("Target", Column.TARGET_SEGMENT),
        ("Target Segment", Column.TARGET_SEGMENT),
        ("5. Target audience:", Column.TARGET_SEGMENT),
        ("Quick-Win", Column.QUICK_WIN),
        ("Quick Wins – the first 30 days", Column.QUICK_WIN),
        ("QuickWin {#quick}", Column.QUICK_WIN),
        ("Ｐｒｏｂｌｅｍ", Column.PROBLEM),
    ],
)
def test_a_sections_own_name_counts_however_it_is_decorated(heading: str, column: Column) -> None:
    assert column_of(heading) == (column, Rank.NAME)


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("3. Problem & Target Market", Column.PROBLEM),
        ("Target segment and problem", Column.TARGET_SEGMENT),
        ("Solution to the problem", Column.SOLUTION),
        ("Which problem does it solve?", Column.PROBLEM),
        ("Why now and why us", Column.WHY_NOW),
        ("Your first quick win", Column.QUICK_WIN),
    ],
)
def test_the_first_name_within_a_heading_counts(heading: str, column: Column) -> None:
    assert column_of(heading) == (column, Rank.CONTAINED)


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("Description", Column.SOLUTION),
        ("Actionability", Column.QUICK_WIN),
        ("Actionability items", Column.QUICK_WIN),
    ],
)
def test_the_real_shapes_sections_stand_in(heading: str, column: Column) -> None:
    assert column_of(heading) == (column, Rank.STAND_IN)


@pytest.mark.parametrize(
    "heading",
    [
        "",
        "Visual",
        "Visual Description",
        "Follow-up Prompts",
        "Retargeting",
        "Resolution",
        "Now",
        "7",
        "Problem " * 100,
    ],
)
def test_other_headings_have_no_column(heading: str) -> None:
    assert column_of(heading) is None


@given(st.text(max_size=60))
@settings(deadline=None)
def test_any_heading_is_answered(heading: str) -> None:
    match = column_of(heading)
    assert match is None or match.column in Column
