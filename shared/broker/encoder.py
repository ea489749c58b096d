"""How messages are written: JSON by orjson, which any Dramatiq reads, and which reads any Dramatiq's JSON.

The broker calls this encoder itself, since Dramatiq's own hook is one per process: an emitter lives in somebody
else's process, and must not change how that one's other brokers write.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
from dramatiq.encoder import Encoder
from dramatiq.errors import DecodeError

#: Stands in front of what only the standard library reads back exactly (integers beyond 64 bits). JSON allows it.
_EXACT: Final = b" "


class OrjsonEncoder(Encoder):
    """Writes and reads JSON; falls back to the standard library for what orjson refuses."""

    def encode(self, data: dict[str, Any]) -> bytes:
        """Return `data` as JSON; raises TypeError for values that JSON doesn't have."""
        try:
            return orjson.dumps(data)
        except TypeError:
            # Lone surrogates, integers beyond 64 bits, keys that are no strings.
            return _EXACT + json.dumps(data, separators=(",", ":")).encode("ascii")

    def decode(self, data: bytes) -> dict[str, Any]:
        """Return the JSON object in `data`; raises DecodeError where there is none."""
        try:
            decoded = json.loads(data) if data.startswith(_EXACT) else _loads(data)
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


ENCODER: Final = OrjsonEncoder()
