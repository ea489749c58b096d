"""Spill: lists of named things that grow on disk instead of in memory, and documents that hold such lists."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import orjson

_IN_MEMORY_BYTES: Final = 256 * 1024


class SpilledList:
    """An append-only list of JSON values; beyond 256 KiB it lives in a temporary file that no name leads to."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - lives as long as we do
        self._length = 0

    def append(self, item: Any) -> None:
        """Add one value."""
        self._file.write(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE))
        self._length += 1

    def __len__(self) -> int:
        return self._length

    def lines(self) -> Iterator[bytes]:
        """Yield each value as JSON; nothing may be appended meanwhile."""
        self._file.seek(0)
        try:
            for line in self._file:
                yield line.rstrip()
        finally:
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Give back what it takes."""
        self._file.close()


def write_document(stream: BinaryIO, facts: Mapping[str, Any], lists: Mapping[str, Iterable[bytes]]) -> None:
    """Write one JSON object: the facts, then the lists, item by item, since they may not fit in memory."""
    stream.write(b"{")
    # Without the braces of its own; the last one has a line to itself.
    stream.write(orjson.dumps(facts, option=orjson.OPT_INDENT_2)[1:-2] if facts else b"")
    for place, (name, items) in enumerate(lists.items()):
        stream.write((b"," if facts or place else b"") + b"\n  " + orjson.dumps(name) + b": [")
        for number, line in enumerate(items):
            stream.write((b",\n    " if number else b"\n    ") + line)
        stream.write(b"]")
    stream.write(b"\n}\n")
    stream.flush()
