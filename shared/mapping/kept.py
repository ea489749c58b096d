"""Kept documents: those that the rows can't give back exactly, so that their bytes are stored as well."""

from __future__ import annotations

from collections.abc import Iterable

from shared.documents import Document, in_natural_order
from shared.formats.kinds import Kind, kind_of


def kept_documents(
    documents: Iterable[Document], main_json_name: str | None, *, main_json_exact: bool = True
) -> tuple[Document, ...]:
    """Return the documents to keep as bytes, in natural order.

    Markdown is held by the joined text. The main JSON is held by its column, unless `main_json_exact` is False:
    jsonb would change its value (duplicate keys, `-0.0`). All else is kept.
    """
    held_by_column = main_json_name if main_json_exact else None
    kept = [
        document
        for document in documents
        if kind_of(document.name) is not Kind.MARKDOWN and document.name != held_by_column
    ]
    return in_natural_order(kept) if len(kept) > 1 else tuple(kept)
