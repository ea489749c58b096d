"""Card Markdown gives its title and sections, the text of each exactly as its lines are."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.formats.card_headings import Column
from shared.formats.card_markdown import read_card, read_inline_cards

PLANNED = dedent("""\
    # The Shelf That Talks

    ## Tagline
    Every product answers.

    ## Problem
    Shoppers leave – *confused*.

    - first
      - nested
    - second

    ## Solution
    A small display.

    | what | cost |
    |------|-----:|
    | one  | 2 €  |

    ## Why Now
    ```python
    # Not a heading
    ## Problem
    x = 1
    ```

    ## Target Segment
    > Families
    > ## with a quoted heading

    ## Quick Win
    1. Try one aisle.

       ## an indented heading of the list
    2. Measure.
    """)


def sections(text: str) -> dict[str, str]:
    return {column.value: section for column, section in read_card(text).sections.items()}


def test_a_planned_card_keeps_lines_lists_tables_and_code() -> None:
    card = read_card(PLANNED)
    assert card.title == "The Shelf That Talks"
    assert dict(card.sections) == {
        Column.TAGLINE: "Every product answers.",
        Column.PROBLEM: "Shoppers leave – *confused*.\n\n- first\n  - nested\n- second",
        Column.SOLUTION: "A small display.\n\n| what | cost |\n|------|-----:|\n| one  | 2 €  |",
        Column.WHY_NOW: "```python\n# Not a heading\n## Problem\nx = 1\n```",
        Column.TARGET_SEGMENT: "> Families\n> ## with a quoted heading",
        Column.QUICK_WIN: "1. Try one aisle.\n\n   ## an indented heading of the list\n2. Measure.",
    }


def test_crlf_lines_stay_crlf_lines() -> None:
    card = read_card(PLANNED.replace("\n", "\r\n"))
    assert card.title == "The Shelf That Talks"
    assert card.sections == {
        column: text.replace("\n", "\r\n") for column, text in read_card(PLANNED).sections.items()
    }


def test_a_byte_order_mark_hides_no_title() -> None:
    assert read_card("\ufeff" + PLANNED) == read_card(PLANNED)


def test_a_real_card_has_front_matter_and_stand_ins() -> None:
    text = dedent("""\
        ---
        opportunity_id: opp-3
        brand: halewick-dairy
        tags: milk, schools
        ---

        # Milk Round 2.0

        ## Description

        A round that comes back.

        ## Actionability

        - Call two schools
        - Borrow a van

        ## Visual

        *A van at dawn.*

        ## Follow-up Prompts

        1. What does a van cost?
        """)
    assert read_card(text).title == "Milk Round 2.0"
    assert sections(text) == {
        "solution": "A round that comes back.",
        "quick_win": "- Call two schools\n- Borrow a van",
    }


def test_a_name_beats_what_contains_it_and_that_beats_a_stand_in() -> None:
    loose = "## Description\nd\n## The problem at large\nloose\n"
    text = f"# T\n{loose}## Solution\ns\n## Problem\nexact\n## Target metrics\nm\n"
    assert sections(text) == {"problem": "exact", "solution": "s", "target_segment": "m"}


def test_sections_of_the_same_name_are_joined_in_order() -> None:
    assert sections("# T\n## Problem\none\n\n## Solution\ns\n## PROBLEM\ntwo\n") == {
        "problem": "one\n\ntwo",
        "solution": "s",
    }


def test_subheadings_stay_in_their_section() -> None:
    solution = "## Solution\na\n### Details\nb\n### The problem it solves\nc\n"
    text = f"# T\n{solution}## Problem\np\n### Target\nt\n## Target\nx\n"
    assert sections(text) == {
        "solution": "a\n### Details\nb\n### The problem it solves\nc",
        "problem": "p\n### Target\nt",
        "target_segment": "x",
    }


def test_a_subheading_that_is_the_only_one_of_its_name_is_a_section() -> None:
    assert sections("# T\n## Tagline\na\n### Problem\nb\n### Solution\nc\n") == {
        "tagline": "a",
        "problem": "b",
        "solution": "c",
    }


@pytest.mark.parametrize("level", range(1, 7))
def test_the_level_of_the_headings_is_free(level: int) -> None:
    marks = "#" * level
    text = f"# T\n\n{marks} Tagline\na\n{marks} Problem\nb\n{marks} Visual\nv\n{marks} Solution ##\nc\n"
    assert read_card(text).title == "T"
    assert sections(text) == {"tagline": "a", "problem": "b", "solution": "c"}


def test_underlined_headings_are_headings() -> None:
    text = "The\nTitle\n===\n\nProblem\n---\ntext\n\nWhy *now*?\n----------\nbecause\n"
    assert read_card(text).title == "The Title"
    assert sections(text) == {"problem": "text", "why_now": "because"}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# **The *Big* Shelf**\n", "The Big Shelf"),
        ("#   Spaced   out   ##\n", "Spaced out"),
        ("# R&D &amp; `code` <!-- note -->\n", "R&D & code"),
        ("# A <b>bold</b> [link](http://x.example) \\# 1\n", "A <b>bold</b> link # 1"),
        ("# Die Lösung für Größe 5 – 日本語\n", "Die Lösung für Größe 5 – 日本語"),
        ("# Opportunity 1: Full Title\n", "Opportunity 1: Full Title"),
        ("## Opportunity 1: Short Title\n", "Short Title"),
        ("## Plain\n", "Plain"),
        ("## The Problem Solver\n", "The Problem Solver"),
        ("intro\n\n# Late Title\n", "Late Title"),
        ("#\n\n# Second\n", "Second"),
        ("```\n# code\n```\n# Real\n", "Real"),
        ("<!-- # hidden -->\n# Shown\n", "Shown"),
        ("", ""),
        ("#NoHeading\n", ""),
    ],
)
def test_the_title_is_the_plain_text_of_its_heading(text: str, title: str) -> None:
    card = read_card(text + "\n### Problem\nx\n")
    assert (card.title, card.sections) == (title, {Column.PROBLEM: "x"})


def test_a_section_is_no_title() -> None:
    card = read_card("## Problem\nx\n## Solution\ny\n")
    assert (card.title, dict(card.sections)) == ("", {Column.PROBLEM: "x", Column.SOLUTION: "y"})


def test_commented_sections_are_no_sections() -> None:
    assert sections("# T\n## Problem\na\n\n<!--\n## Solution\nhidden\n-->\n") == {
        "problem": "a\n\n<!--\n## Solution\nhidden\n-->"
    }


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("\n\n\n  text  \n\n\n", "  text"),
        ("\n    code\n    more\n", "    code\n    more"),
        ("text\n\n---\n", "text"),
        ("text\n\n---\n\n * * *\n\n", "text"),
        ("text\n\n---\n\nmore\n", "text\n\n---\n\nmore"),
        ("text\n\n```\n---\n```\n", "text\n\n```\n---\n```"),
        ("* a\n* ---\n", "* a\n* ---"),
        ("text", "text"),
    ],
)
def test_only_blank_lines_and_closing_rules_are_cut_off(body: str, text: str) -> None:
    assert sections(f"# T\n\n## Problem\n{body}\n## Solution\ns\n")["problem"] == text
    assert sections(f"# T\n\n## Problem\n{body}")["problem"] == text


@pytest.mark.parametrize("body", ["", "\n\n", "---\n", "- - - -\n\n***\n"])
def test_a_section_without_text_is_none(body: str) -> None:
    assert sections(f"# T\n\n## Problem\n\n{body}\n## Solution\ns\n") == {"solution": "s"}


@pytest.mark.parametrize("info", ["markdown", "md", "", "Markdown"])
@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_a_card_within_one_fence_is_read(info: str, fence: str) -> None:
    assert read_card(f"{fence}{info}\n---\nbrand: x\n---\n# T\n## Problem\nx\n{fence}\n").title == "T"


@pytest.mark.parametrize(
    "text", ["```python\n# T\n## Problem\nx\n```\n", "```\n# T\n```\n\nmore\n", "``` a `b` \n"]
)
def test_another_fence_is_text(text: str) -> None:
    assert read_card(text).sections == {}


def test_bold_labels_are_sections_where_no_heading_is() -> None:
    text = dedent("""\
        # T

        **Tagline:** Fast & *good*
        **Problem:** It is
        bad.

        - **Pilot:** one
        - two

        **Solution**

        A paragraph.

        **Visual:** a drawing
        **Why now** – because
        **2. Target Segment**: all
        """)
    assert sections(text) == {
        "tagline": "Fast & *good*",
        "problem": "It is\nbad.\n\n- **Pilot:** one\n- two",
        "solution": "A paragraph.",
        "why_now": "because",
        "target_segment": "all",
    }


def test_bold_labels_may_be_a_list() -> None:
    assert sections("# T\n\n- **Tagline:** a\n- __Problem:__ b\n  c\n* **Other:** d\n") == {
        "tagline": "a",
        "problem": "b\n  c\n* **Other:** d",
    }


def test_bold_text_in_a_section_is_text() -> None:
    text = "# T\n## Problem\n**Solution:** not one\n## Visual\n**Tagline:** x\n"
    assert sections(text) == {"problem": "**Solution:** not one"}


def test_inline_cards_have_numbers_titles_and_labels() -> None:
    text = dedent("""\
        # Five Ideas

        Some words.

        ## Opportunity 2: **The Second**
        **Tagline:** a
        **Problem:** b

        ---

        ## OPPORTUNITY #1 – The First
        ### Tagline
        c
        ### Problem
        d

        ## Conclusion
        **Tagline:** none
        """)
    cards = read_inline_cards(text)
    assert [(card.digits, card.title, dict(card.sections)) for card in cards] == [
        ("2", "The Second", {Column.TAGLINE: "a", Column.PROBLEM: "b"}),
        ("1", "The First", {Column.TAGLINE: "c", Column.PROBLEM: "d"}),
    ]


def test_a_list_of_the_cards_holds_none_of_them() -> None:
    assert read_inline_cards("# Summary\n\n## Opportunity 1: A\nGood.\n\n## Opportunity 2: B\nBetter.\n") == ()


lines = st.lists(st.text(alphabet="ab é–*_`|<>[]()!&\\.:1-+ \t", max_size=20), max_size=6)


@given(lines, st.sampled_from(["\n", "\r\n"]))
@settings(deadline=None)
def test_a_section_is_always_a_piece_of_the_source(body: list[str], newline: str) -> None:
    source = newline.join(["# T", "## Problem", *body, "", "## Solution", "end"])
    for section in read_card(source).sections.values():
        assert section in source
        assert section == section.rstrip()


paragraphs = st.text(alphabet="abc é–.,:;()!? ", min_size=1, max_size=60).map(str.strip).filter(bool)


@given(st.lists(paragraphs, min_size=1, max_size=4).filter(lambda texts: not texts[0].startswith((":", "-"))))
@settings(deadline=None)
def test_plain_paragraphs_come_back_exactly(texts: list[str]) -> None:
    body = "\n\n".join(texts)
    assert sections(f"# T\n\n## Problem\n\n{body}\n\n## Solution\n\ns\n")["problem"] == body


@given(st.text(alphabet="#-=*_`~>|<!&\\[]:.1 \n\r\tabTProblemé\u2028", max_size=120))
@settings(deadline=None)
def test_any_text_is_a_card_or_cards_or_none(text: str) -> None:
    read_card(text)
    read_inline_cards(text)
