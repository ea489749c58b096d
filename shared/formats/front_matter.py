"""Front matter: the YAML block between two lines of dashes at the very start of a Markdown document.

Only its text values are read, as text: no tag, date or alias of the YAML is ever made into an object, so a hostile
block costs no more than its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import yaml

from shared.errors import Malformed, Place
from shared.formats.limits import MAX_FRONT_MATTER_CHARS
from shared.formats.text import BYTE_ORDER_MARK, is_storable
from shared.frozen import frozen
from shared.reasons import Reason

_OPENING: Final = re.compile(r"---[ \t]*\r?\n")
_CLOSING: Final = re.compile(r"^(?:---|\.\.\.)[ \t]*\r?$", re.MULTILINE)
_FIRST_KEY: Final = re.compile(r"""(?:[ \t]*(?:\#[^\n]*)?\r?\n)*["']?\w[\w .-]{0,99}["']?[ \t]{0,9}:(?:\s|$)""")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


@frozen
class SplitMarkdown:
    """A Markdown document in two: its front matter, None where it has none, and the body."""

    front_matter: str | None
    body: str


def split_front_matter(text: str) -> SplitMarkdown:
    """Return the front matter and the body of a Markdown text, without its byte order mark.

    A text that merely starts with a thematic break has no front matter: the block must start like a mapping.
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    opening = _OPENING.match(text)
    if opening is None:
        return SplitMarkdown(None, text)
    closing = _CLOSING.search(text, opening.end(), opening.end() + MAX_FRONT_MATTER_CHARS)
    if closing is None or _FIRST_KEY.match(text, opening.end(), closing.start()) is None:
        return SplitMarkdown(None, text)
    return SplitMarkdown(text[opening.end() : closing.start()], text[closing.end() :])


def read_front_matter(name: str, front_matter: str | None) -> Mapping[str, str]:
    """Return the front matter's text values, nulls left out; raises Malformed where the YAML can't be read."""
    if front_matter is None:
        return _NOTHING
    try:
        return _text_values(name, yaml.parse(front_matter, Loader=yaml.CBaseLoader))
    except yaml.YAMLError as error:
        raise _malformed(name, error) from None


def _text_values(name: str, events: Iterable[yaml.Event]) -> dict[str, str]:
    """Return the scalars of the outermost mapping.

    Events come one by one, whereas composing them into nodes recurses in C: deep nesting would crash the process.
    """
    values: dict[str, str] = {}
    depth = 0
    key: str | None = None
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            if depth == 0 and not isinstance(event, yaml.MappingStartEvent):
                break
            if depth == 1:
                # A collection as the value ends the pair; as a key it stands for one without text.
                key = "" if key is None else None
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif depth == 1 and isinstance(event, yaml.AliasEvent):
            key = "" if key is None else None
        elif depth == 1 and isinstance(event, yaml.ScalarEvent):
            if key is None:
                key = event.value
                continue
            if key and (event.style or event.value not in _NULLS):
                values[key] = _storable(name, key, event)
            key = None
    return values


def _storable(name: str, key: str, event: yaml.ScalarEvent) -> str:
    if not is_storable(event.value):
        sentence = f"{key!a} in the front matter of {name} contains what PostgreSQL can't store."
        raise Malformed(Reason.UNSTORABLE_TEXT, sentence, _place(name, event.start_mark))
    return str(event.value)


def _place(name: str, mark: Any) -> Place:
    """Return the place of a mark within the block, which starts in the document's second line."""
    return Place(name) if mark is None else Place(name, line=mark.line + 2, column=mark.column + 1)


def _malformed(name: str, error: yaml.YAMLError) -> Malformed:
    problem = getattr(error, "problem", None) or "it holds a character that YAML doesn't allow"
    place = _place(name, getattr(error, "problem_mark", None))
    return Malformed(Reason.FRONT_MATTER, f"The front matter of {name} is not YAML: {problem}.", place)
