"""Numbers in sentences for people, with words that agree with them."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and what it counts: `1 run`, `2,000 runs`."""
    return f"{number:,} {word_for(number, one, many)}"


def word_for(number: int, one: str, many: str | None = None) -> str:
    """Return the words that agree with a number: `one` where it is 1, else `many`, by default with an s."""
    if number == 1:
        return one
    return f"{one}s" if many is None else many
