"""Comparing an output in rows with one on disk. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from shared.comparing.json_value import canonical_json
from shared.documents import Document
from shared.formats.kinds import Kind, kind_of


class Standing(StrEnum):
    """What the disk has of an output."""

    NEW = "new"  # nothing
    SAME = "same"  # the same documents: Markdown byte for byte, JSON value for value
    DIFFERS = "differs"


def compare(exported: Sequence[Document], on_disk: Sequence[Document] | None) -> Standing:
    """Return what the disk has of an output."""
    if not on_disk:
        return Standing.NEW
    present = {document.name: document.content for document in on_disk}
    if present.keys() != {document.name for document in exported}:
        return Standing.DIFFERS
    same = all(_is_same(document, present[document.name]) for document in exported)
    return Standing.SAME if same else Standing.DIFFERS


def _is_same(document: Document, content: bytes) -> bool:
    if document.content == content:
        return True
    if kind_of(document.name) is not Kind.JSON:
        return False
    try:
        return canonical_json(document.content.decode()) == canonical_json(content.decode())
    except (ValueError, RecursionError):
        return False
