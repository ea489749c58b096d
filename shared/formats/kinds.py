"""Kinds of documents, told by their names alone."""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache


class Kind(Enum):
    """What a document is; the scanner leaves out what is OTHER."""

    JSON = auto()
    MARKDOWN = auto()
    OTHER = auto()


@lru_cache(maxsize=4096)
def kind_of(name: str) -> Kind:
    """Return the kind of the document `name`."""
    if name.endswith(".json"):
        return Kind.JSON
    if name.endswith(".md"):
        return Kind.MARKDOWN
    return Kind.OTHER
