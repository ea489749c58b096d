"""Files that are hashed while they are written, and hashed again when they are verified."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from ops.backup.manifest import Part

_CHUNK_BYTES: Final = 1 << 20


class HashedFile:
    """A new file, readable by its owner alone, with the hash of what was written; to be closed by `finish`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO = os.fdopen(fd, "wb", buffering=_CHUNK_BYTES)
        self._digest = hashlib.sha256()
        self.bytes = 0

    def write(self, content: bytes) -> int:
        """Write and hash."""
        self._digest.update(content)
        self.bytes += len(content)
        return self._file.write(content)

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._file.flush()

    def finish(self) -> Part:
        """Have it all on disk, and return the part that it is."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return Part(self._path.name, self.bytes, self._digest.hexdigest())

    def abandon(self) -> None:
        """Close it, whatever was written."""
        self._file.close()


def part_of(path: Path, *, sync: bool = False, took: Callable[[int], None] = lambda _: None) -> Part:
    """Return the part that a file is; raises OSError. With `sync` it is on disk afterwards."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            took(len(chunk))
    return Part(path.name, size, digest.hexdigest())
