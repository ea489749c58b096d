"""Editing: which documents to edit, what was edited before, and what changed. Pure."""

from __future__ import annotations

import base64
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ops.dlq.contents import documents_in, output_in
from ops.dlq.messages import Unreplayable
from shared.dead_letters.letter import FiledLetter
from shared.documents import Document
from shared.errors import UsageError
from shared.printable import printable


def documents_to_edit(filed: FiledLetter, names: Sequence[str]) -> tuple[Document, ...]:
    """Return the documents to open: the named ones, else the one at fault, else all.

    Raises UsageError for a name that the output lacks, Unreplayable where the letter holds no documents.
    """
    documents = original_documents(filed)
    known = {document.name: document for document in documents}
    missing = [name for name in names if name not in known]
    if missing:
        raise UsageError(
            f"Dead letter {filed.id} has no document {missing[0]!r}; it has: {', '.join(known) or 'none'}."
        )
    if names:
        return tuple(known[name] for name in dict.fromkeys(names))
    at_fault = known.get(filed.letter.evidence.place.document or "")
    return documents if at_fault is None else (at_fault,)


def original_documents(filed: FiledLetter) -> tuple[Document, ...]:
    """Return the documents that died; raises Unreplayable where the letter holds none."""
    output = output_in(filed.letter)
    if output is None or not output.documents:
        raise Unreplayable("The letter holds no documents that could be edited.")
    return documents_in(output)


def last_edited(filed: FiledLetter) -> Mapping[str, Document]:
    """Return the documents of the last edit that its history keeps, by name; empty where there was none."""
    for entry in reversed(filed.history):
        if entry.get("what") == "edited" and entry.get("documents"):
            return {
                kept["name"]: Document(kept["name"], base64.b64decode(kept["base64"]))
                for kept in entry["documents"]
            }
    return {}


def kept_edit(before: Sequence[Document], after: Sequence[Document]) -> list[dict[str, Any]]:
    """Return what a history line keeps of an edit: the documents that changed."""
    changed = [new for old, new in zip(before, after, strict=True) if old.content != new.content]
    return [
        {"name": document.name, "base64": base64.b64encode(document.content).decode("ascii")}
        for document in changed
    ]


def replaced(documents: Iterable[Document], copies: Mapping[str, Document]) -> tuple[Document, ...]:
    """Return the documents with those in place of which there is a copy."""
    return tuple(copies.get(document.name, document) for document in documents)


def diff_lines(before: Sequence[Document], after: Sequence[Document]) -> list[str]:
    """Return what changed as a unified diff, printable."""
    lines: list[str] = []
    for old, new in zip(before, after, strict=True):
        if old.content == new.content:
            continue
        lines += difflib.unified_diff(
            _lines(old.content), _lines(new.content), f"a/{old.name}", f"b/{new.name}", lineterm=""
        )
    return [printable(line) for line in lines]


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "backslashreplace").split("\n")
