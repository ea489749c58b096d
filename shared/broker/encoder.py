"""How messages are written: as JSON, and before it the documents whose content is bytes.

A message without such documents is plain JSON, which any Dramatiq reads, and any Dramatiq's JSON is read. The broker
calls this encoder itself, since Dramatiq's own hook is one per process: an emitter lives in somebody else's process,
and must not change how that one's other brokers write.

With contents it is one byte, the length of all contents in four, the contents one after the other, and the JSON, in
which each document has its content's length in its place. So every message ends as its JSON does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from dramatiq.encoder import Encoder
from dramatiq.errors import DecodeError

from shared.wire import documents_of

#: Stands in front of what only the standard library reads back exactly (integers beyond 64 bits). JSON allows it.
_EXACT: Final = b" "
#: No JSON begins so.
_WITH_CONTENTS: Final = b"\x01"
_LENGTH_BYTES: Final = 4
_HEAD_BYTES: Final = len(_WITH_CONTENTS) + _LENGTH_BYTES


class DocumentEncoder(Encoder):
    """Writes and reads JSON with documents before it; falls back to the standard library for what orjson refuses."""

    def encode(self, data: dict[str, Any]) -> bytes:
        """Return `data` as bytes; raises TypeError for values that JSON doesn't have, bytes elsewhere among them."""
        named = [content for each in _documents(data) if (content := each.get("content")) is not None]
        contents = [content for content in named if type(content) is bytes]
        if not contents:
            return _dumps(data)
        if len(named) != len(contents):
            raise TypeError("a document's content is bytes, like that of the others")
        # Both walk the documents in their order: what stands where is clear if it is the same number of them.
        found: list[bytes] = []
        text = _dumps(data, found)
        if len(found) != len(contents):
            raise TypeError("only a document's content may be bytes")
        size = sum(map(len, contents))
        return b"".join((_WITH_CONTENTS, size.to_bytes(_LENGTH_BYTES, "big"), *contents, text))

    def decode(self, data: bytes) -> dict[str, Any]:
        """Return the object in `data`; raises DecodeError where there is none."""
        if not data.startswith(_WITH_CONTENTS):
            return _object(data, data)
        start, end = _HEAD_BYTES, _HEAD_BYTES + int.from_bytes(data[len(_WITH_CONTENTS) : _HEAD_BYTES], "big")
        decoded = _object(data[end:], data)
        for document in _documents(decoded):
            length = document.get("content")
            if length is None:
                continue
            if type(length) is not int or not 0 <= length <= end - start:
                raise DecodeError("a document's content is not all there", data, None)
            document["content"] = data[start : start + length]
            start += length
        if start != end:
            raise DecodeError("there is more than the documents' contents", data, None)
        return decoded


def _documents(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    kwargs = data.get("kwargs")
    return documents_of(kwargs.get("message") if isinstance(kwargs, dict) else None)


def _dumps(data: dict[str, Any], contents: list[bytes] | None = None) -> bytes:
    """Return `data` as JSON, with the length of what is bytes, which is added to `contents` where that is given."""

    def length(value: object) -> int:
        if contents is None or not isinstance(value, bytes):
            raise TypeError(f"{type(value).__name__} is no JSON")
        contents.append(value)
        return len(value)

    try:
        return orjson.dumps(data, default=length)
    except TypeError:
        # Lone surrogates, integers beyond 64 bits, keys that are no strings.
        if contents is not None:
            contents.clear()
        return _EXACT + json.dumps(data, separators=(",", ":"), default=length).encode("ascii")


def _object(text: bytes, data: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(text) if text.startswith(_EXACT) else _loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not JSON: {error}", data, error) from None
    if not isinstance(decoded, dict):
        raise DecodeError(f"not a JSON object: {type(decoded).__name__}", data, None)
    return decoded


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # The standard library also writes NaN, Infinity and lone surrogates.
        return json.loads(data)


ENCODER: Final = DocumentEncoder()
