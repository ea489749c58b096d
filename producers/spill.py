"""Spill: a list of named things that grows on disk instead of in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any, Final

import orjson

_IN_MEMORY_BYTES: Final = 256 * 1024


class SpilledList:
    """An append-only list of JSON objects; beyond 256 KiB it lives in a temporary file that no name leads to."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - lives as long as we do
        self._length = 0

    def append(self, item: dict[str, Any]) -> None:
        """Add one object."""
        self._file.write(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE))
        self._length += 1

    def __len__(self) -> int:
        return self._length

    def lines(self) -> Iterator[bytes]:
        """Yield each object as JSON; nothing may be appended meanwhile."""
        self._file.seek(0)
        try:
            for line in self._file:
                yield line.rstrip()
        finally:
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Give back what it takes."""
        self._file.close()
