"""Cards: the opportunity cards of stage 5, wherever they stand.

`opportunities.json` if it is there, else the `opportunity-N.md` files, else the cards within another Markdown
document. What is lower is a document and not a second set of cards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from shared.errors import Malformed, Place
from shared.formats.card_headings import Column
from shared.formats.card_markdown import CardText, read_card, read_inline_cards
from shared.formats.json_text import JsonText
from shared.formats.limits import MAX_CARD_DOCUMENT_BYTES, MAX_CARDS
from shared.formats.opportunities_json import read_json_cards
from shared.frozen import frozen
from shared.reasons import Reason

OPPORTUNITIES_JSON: Final = "opportunities.json"

_CARD_FILE: Final = re.compile(r"opportunity-([0-9]+)\.md")


@frozen
class Card:
    """One card: its number of 1 to 5, its title (empty where it has none), and its sections that have text."""

    number: int
    title: str
    sections: Mapping[Column, str]


def is_card_document(name: str) -> bool:
    """Tell whether the document is the file of one card by its name."""
    return _CARD_FILE.fullmatch(name) is not None


def read_cards(main_json: JsonText | None, markdown: Sequence[tuple[str, str]]) -> tuple[Card, ...]:
    """Return the output's cards by their numbers; `markdown` is (name, text) in natural order.

    Raises Malformed where they are too many, share a number, or one of them has no section at all.
    """
    found = _find_cards(main_json, markdown)
    if len(found) > MAX_CARDS:
        raise Malformed(
            Reason.TOO_MANY_CARDS,
            f"The output has more than {MAX_CARDS} cards.",
            found[MAX_CARDS][0],
        )
    cards: dict[int, Card] = {}
    for place, number_text, text in found:
        number = _number(place, number_text)
        if number in cards:
            raise Malformed(Reason.CARD_NUMBER_TWICE, f"Two cards have the number {number}.", place)
        if not text.sections:
            raise Malformed(
                Reason.CARD_WITHOUT_SECTIONS, f"Card {number} has no section that can be stored.", place
            )
        cards[number] = Card(number, text.title, text.sections)
    return tuple(cards[number] for number in sorted(cards))


_Found = tuple[Place, str, CardText]


def _find_cards(main_json: JsonText | None, markdown: Sequence[tuple[str, str]]) -> list[_Found]:
    if main_json is not None and main_json.name == OPPORTUNITIES_JSON:
        return list(islice(read_json_cards(main_json), MAX_CARDS + 1))
    files = [(name, text, match[1]) for name, text in markdown if (match := _CARD_FILE.fullmatch(name))]
    if files:
        return [(Place(name), digits, read_card(_bounded(name, text))) for name, text, digits in files]
    return next(filter(None, map(_inline, markdown)), [])


def _inline(document: tuple[str, str]) -> list[_Found]:
    name, text = document
    cards = read_inline_cards(_bounded(name, text))
    return [(Place(name, section=card.heading), card.digits, card) for card in cards]


def _bounded(name: str, text: str) -> str:
    if 4 * len(text) > MAX_CARD_DOCUMENT_BYTES and len(text.encode()) > MAX_CARD_DOCUMENT_BYTES:
        raise Malformed(
            Reason.TOO_LARGE, f"{name} is longer than a card's {MAX_CARD_DOCUMENT_BYTES} bytes.", Place(name)
        )
    return text


def _number(place: Place, text: str) -> int:
    significant = text.lstrip("0")
    if len(significant) != 1 or not 1 <= int(significant) <= MAX_CARDS:
        raise Malformed(
            Reason.CARD_NUMBER, f"A card has the number {text[:20]}, which is outside 1 to {MAX_CARDS}.", place
        )
    return int(significant)


def missing_numbers(cards: Iterable[Card]) -> tuple[int, ...]:
    """Return the numbers of 1 to 5 that no card has."""
    there = {card.number for card in cards}
    return tuple(number for number in range(1, MAX_CARDS + 1) if number not in there)
