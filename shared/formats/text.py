"""Text: a document's bytes as text that PostgreSQL can store."""

from __future__ import annotations

from typing import Final

from shared.documents import Document
from shared.errors import Malformed, Place
from shared.reasons import Reason

BYTE_ORDER_MARK: Final = "\ufeff"


def place_at(document: str, text: str, offset: int) -> Place:
    """Return the place of the character at `offset` of the document's text."""
    line_start = text.rfind("\n", 0, offset) + 1
    return Place(document, line=text.count("\n", 0, offset) + 1, column=offset - line_start + 1)


def decode(document: Document) -> str:
    """Return the document's text, byte order mark included; raises Malformed where it is empty or not UTF-8."""
    try:
        text = document.content.decode()
    except UnicodeDecodeError as error:
        before = document.content[: error.start].decode()
        raise Malformed(
            Reason.NOT_UTF8,
            f"{document.name} is not UTF-8: byte {error.start} is 0x{document.content[error.start]:02x}.",
            place_at(document.name, before, len(before)),
        ) from None
    if text.isspace() or text in ("", BYTE_ORDER_MARK) or (text[0] == BYTE_ORDER_MARK and text[1:].isspace()):
        raise Malformed(Reason.EMPTY_FILE, f"{document.name} is empty.", Place(document.name))
    return text


def decode_markdown(document: Document) -> str:
    """Return the text of a Markdown document; raises Malformed where it can't be stored."""
    text = decode(document)
    nul = text.find("\0")
    if nul >= 0:
        raise Malformed(
            Reason.UNSTORABLE_TEXT,
            f"{document.name} contains U+0000, which PostgreSQL can't store.",
            place_at(document.name, text, nul),
        )
    return text


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can store `text`: it has neither U+0000 nor a lone surrogate."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
