"""Text that PostgreSQL can store: evidence about hostile text must itself be storable."""

from __future__ import annotations

from typing import Any

import orjson


def storable_text(text: str) -> str:
    """Return `text` with U+0000 and lone surrogates written as escapes; PostgreSQL stores neither."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")


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
