"""Front matter: the YAML block between two lines of dashes at the very start of a Markdown document.

Only its text values are read, as text: no tag, date or alias of the YAML is ever made into an object, so a hostile
block costs no more than its length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import yaml

from shared.errors import Malformed, Place
from shared.formats.limits import MAX_FRONT_MATTER_CHARS
from shared.formats.text import BYTE_ORDER_MARK, is_storable
from shared.reasons import Reason

_OPENING: Final = re.compile(r"---[ \t]*\r?\n")
_CLOSING: Final = re.compile(r"^(?:---|\.\.\.)[ \t]*\r?$", re.MULTILINE)
_FIRST_KEY: Final = re.compile(r"""(?:[ \t]*(?:\#[^\n]*)?\r?\n)*["']?\w[\w .-]{0,99}["']?[ \t]{0,9}:(?:\s|$)""")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
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
        node = yaml.compose(front_matter, Loader=yaml.CBaseLoader)
    except yaml.YAMLError as error:
        raise _malformed(name, error) from None
    if not isinstance(node, yaml.MappingNode):
        raise Malformed(Reason.FRONT_MATTER, f"The front matter of {name} is no mapping.", Place(name, line=2))
    values: dict[str, str] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            continue
        if value.style is None and value.value in _NULLS:
            continue
        if not is_storable(value.value):
            raise Malformed(
                Reason.UNSTORABLE_TEXT,
                f"{key.value} in the front matter of {name} contains what PostgreSQL can't store.",
                Place(name, line=value.start_mark.line + 2, column=value.start_mark.column + 1),
            )
        values[key.value] = value.value
    return values


def _malformed(name: str, error: yaml.YAMLError) -> Malformed:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it holds a character that YAML doesn't allow"
    place = Place(name) if mark is None else Place(name, line=mark.line + 2, column=mark.column + 1)
    return Malformed(Reason.FRONT_MATTER, f"The front matter of {name} is not YAML: {problem}.", place)
