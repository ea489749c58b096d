"""Joined Markdown: all Markdown documents of an output in one text, and back.

One document stands as it is; its name is in the ledger's manifest. Several stand in natural order, each after a
line of this form and before a line feed:

    <!-- runferry document="opportunity-1.md" bytes=1234 sha256=… -->

The name is percent-encoded, so that it can't end the comment. Splitting goes by the length, so it gives back
exactly what was joined, whatever the documents themselves say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote, unquote

from shared.documents import Document, in_natural_order
from shared.errors import NotRestorable
from shared.mapping.manifest import sha256_of

_END: Final = b"\n"
_HEADER: Final = re.compile(rb'<!-- runferry document="([^"\s]*)" bytes=([0-9]{1,12}) sha256=([0-9a-f]{64}) -->\n')


def join(documents: Iterable[Document]) -> bytes:
    """Return the text that holds all `documents`, as UTF-8, which their bytes must be."""
    ordered = in_natural_order(documents)
    if len(ordered) == 1:
        return ordered[0].content
    return b"".join(part for document in ordered for part in (_header(document), document.content, _END))


def split(text: str, names: Sequence[str]) -> tuple[Document, ...]:
    """Return the documents that `join` put into `text`, in natural order.

    `names` are those of the Markdown documents in the output's manifest. Raises NotRestorable where the text was
    changed since in a way that leaves their borders unknown.
    """
    if len(names) == 1:
        return (Document(names[0], text.encode()),)
    joined = text.encode()
    documents: list[Document] = []
    start = 0
    while start < len(joined):
        document, start = _next(joined, start)
        documents.append(document)
    if sorted(document.name for document in documents) != sorted(names):
        raise NotRestorable("The stored Markdown holds other documents than its manifest says.")
    return tuple(documents)


def _header(document: Document) -> bytes:
    name = quote(document.name, safe="", errors="surrogatepass")
    size = len(document.content)
    return f'<!-- runferry document="{name}" bytes={size} sha256={document.sha256} -->\n'.encode()


def _next(joined: bytes, start: int) -> tuple[Document, int]:
    header = _HEADER.match(joined, start)
    if header is None:
        raise NotRestorable(f"The stored Markdown has no document border at byte {start}; it was changed.")
    name = unquote(header[1].decode("ascii"), errors="surrogatepass")
    end = header.end() + int(header[2])
    content = joined[header.end() : end]
    if joined[end : end + len(_END)] != _END or sha256_of(content) != header[3].decode("ascii"):
        raise NotRestorable(f"The stored Markdown of {name!r} was changed, so the end of it is unknown.")
    return Document(name, content), end + len(_END)
