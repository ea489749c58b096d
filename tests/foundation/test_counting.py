"""Numbers in sentences: the words agree with them."""

from __future__ import annotations

import pytest

from shared.counting import counted, word_for


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (1, ("run",), "1 run"),
        (0, ("run",), "0 runs"),
        (2_000, ("run",), "2,000 runs"),
        (1, ("process is", "processes are"), "1 process is"),
        (2, ("process is", "processes are"), "2 processes are"),
    ],
)
def test_what_is_counted_agrees_with_its_number(number: int, words: tuple[str, ...], expected: str) -> None:
    assert counted(number, *words) == expected


def test_a_word_of_one_may_be_empty() -> None:
    assert word_for(1, "", "such as ") == ""
    assert word_for(2, "such as ", "") == ""
