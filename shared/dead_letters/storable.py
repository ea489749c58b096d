"""Text that PostgreSQL can store: evidence about hostile text must itself be storable."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import orjson

#: An entry of a B-tree holds 2,704 bytes, and up to three of these stand in one.
MAX_LABEL_BYTES: Final = 255
_HASH_DIGITS: Final = 32


def storable_text(text: str) -> str:
    """Return `text` with U+0000 and lone surrogates written as escapes; PostgreSQL stores neither."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")


def storable_label(text: str) -> str:
    """Return `text` as `storable_text` does, short enough for an index; what was longer ends in a hash of it."""
    storable = storable_text(text)
    encoded = storable.encode()
    if len(encoded) <= MAX_LABEL_BYTES:
        return storable
    end = f"…{sha256(encoded).hexdigest()[:_HASH_DIGITS]}"
    return encoded[: MAX_LABEL_BYTES - len(end.encode())].decode("utf-8", "ignore") + end


def storable_json(value: Any) -> str:
    """Return a JSON value as text that a jsonb column takes."""
    return orjson.dumps(_storable(value)).decode()


def _storable(value: Any) -> Any:
    match value:
        case str():
            return storable_text(value)
        case dict():
            return {storable_text(str(key)): _storable(item) for key, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
        case _:
            return value
