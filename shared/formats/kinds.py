"""Kinds of documents, told by their names alone."""

from __future__ import annotations

from enum import Enum, auto


class Kind(Enum):
    """What a document is; the scanner leaves out what is OTHER."""

    JSON = auto()
    MARKDOWN = auto()
    OTHER = auto()


def kind_of(name: str) -> Kind:
    """Return the kind of the document `name`; the case of its ending is free."""
    ending = name[-5:].lower()
    if ending.endswith(".json"):
        return Kind.JSON
    if ending.endswith(".md"):
        return Kind.MARKDOWN
    return Kind.OTHER
