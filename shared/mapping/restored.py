"""Restored documents: the way back from rows to the documents that became them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.documents import Document, in_natural_order
from shared.errors import NotRestorable
from shared.formats.kinds import Kind, kind_of
from shared.mapping.joined_markdown import split
from shared.rows import StageOutputRow


def restore(row: StageOutputRow, kept: Iterable[Document], names: Sequence[str]) -> tuple[Document, ...]:
    """Return the documents of an output in natural order; `names` are those of its manifest.

    Markdown and kept documents come back byte for byte, other JSON by value. What was edited in the rows comes
    back as edited. Raises NotRestorable where the rows no longer hold the manifest's documents.
    """
    restored = {document.name: document for document in kept}
    left = [name for name in names if name not in restored]
    markdown = [name for name in left if kind_of(name) is Kind.MARKDOWN]
    others = [name for name in left if kind_of(name) is not Kind.MARKDOWN]
    for document in split(row.markdown_output, markdown):
        restored[document.name] = document
    if row.json_output is not None and len(others) == 1:
        restored[others[0]] = Document(others[0], row.json_output.encode())
    if restored.keys() != set(names):
        raise NotRestorable("The rows hold other documents than the manifest says.")
    return in_natural_order(restored.values())
