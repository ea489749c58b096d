"""`opportunities.json` in both of its shapes: the planned one, and the one that models write by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from shared.errors import Place
from shared.formats.card_headings import COLUMNS, Column
from shared.formats.card_markdown import CardText
from shared.formats.json_shape import as_list, as_object, as_text, optional_text, refuse_shape
from shared.formats.json_text import JsonText

#: Above it a number is told in short, and is no card number anyway.
_SMALL: Final = 1000


def read_json_cards(document: JsonText) -> Iterator[tuple[Place, str, CardText]]:
    """Yield each card with its place and its number in digits; raises Malformed where the shape is another one.

    A card without a number takes its position.
    """
    name = document.name
    whole = as_object(name, "", document.value)
    for position, value in enumerate(as_list(name, "opportunities", whole.get("opportunities")), start=1):
        path = f"opportunities[{position - 1}]"
        card = as_object(name, path, value)
        number = card.get("number")
        digits = str(position) if number is None else _digits(name, f"{path}.number", number)
        title = optional_text(name, f"{path}.title", card.get("title"))
        yield Place(name, section=path), digits, CardText(title, _sections(name, path, card))


def _sections(document: str, path: str, card: dict[str, Any]) -> dict[Column, str]:
    texts = {column: optional_text(document, f"{path}.{column}", card.get(column)) for column in COLUMNS}
    description = optional_text(document, f"{path}.description", card.get("description"))
    actions = _bullets(document, f"{path}.actionability_items", card.get("actionability_items"))
    if not texts[Column.SOLUTION].strip():
        texts[Column.SOLUTION] = description
    if not texts[Column.QUICK_WIN].strip():
        texts[Column.QUICK_WIN] = actions
    return {column: text for column, text in texts.items() if text.strip()}


def _bullets(document: str, path: str, items: Any) -> str:
    if items is None:
        return ""
    texts = [
        as_text(document, f"{path}[{index}]", item) for index, item in enumerate(as_list(document, path, items))
    ]
    return "\n".join("- " + text.strip().replace("\n", "\n  ") for text in texts if text.strip())


def _digits(document: str, path: str, number: Any) -> str:
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        refuse_shape(document, path, "a number", number)
    if -_SMALL < number < _SMALL and number == int(number):
        return str(int(number))
    try:
        return f"{number:.6g}"
    except OverflowError:  # an integer beyond what a float holds
        return f"{Decimal(number):.6g}"
