"""Documents: the files that a stage leaves in its folder, as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import field
from functools import lru_cache
from typing import Any, Final, NewType, cast

from natsort import natsort_keygen

from shared.frozen import frozen

#: Lower-case hexadecimal SHA-256.
Sha256 = NewType("Sha256", str)

#: File systems allow 255 bytes for a name.
MAX_NAME_BYTES: Final = 255

_LENGTH_BYTES: Final = 8
_MOST_BYTES_A_CHARACTER: Final = 4
_natural_key = lru_cache(maxsize=4096)(natsort_keygen())


@frozen
class Document:
    """One file of a stage output: its plain name and its bytes."""

    name: str
    content: bytes
    _sha256: Sha256 | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def sha256(self) -> Sha256:
        """The hash of its bytes, computed once: manifest and joined Markdown both name it."""
        if self._sha256 is None:
            object.__setattr__(self, "_sha256", Sha256(hashlib.sha256(self.content).hexdigest()))
        return cast(Sha256, self._sha256)


def name_fault(name: str) -> str | None:
    """Return why a document can't have this name, None where it can: it is the name of a file that is not hidden."""
    if not name:
        return "it is empty"
    if name[0] == ".":
        return "it is hidden, or leads out of its folder"
    if "/" in name or "\0" in name:
        return "it is a path, not a name"
    if len(name) * _MOST_BYTES_A_CHARACTER > MAX_NAME_BYTES:
        size = len(name.encode("utf-8", "surrogatepass"))
        if size > MAX_NAME_BYTES:
            return f"it has {size:,} bytes, more than {MAX_NAME_BYTES}"
    return None


def natural_order(name: str) -> tuple[Any, str]:
    """Return the sort key of natural file name order: `opportunity-2.md` before `opportunity-10.md`."""
    return _natural_key(name), name


def in_natural_order(documents: Iterable[Document]) -> tuple[Document, ...]:
    """Return the documents in natural order of their names."""
    return tuple(sorted(documents, key=lambda document: natural_order(document.name)))


def content_sha256(documents: Iterable[Document]) -> Sha256:
    """Return the hash of an output: over its documents sorted by name, each name and content length-prefixed.

    The length prefixes make it impossible to move bytes between a name and a content, or between two documents,
    without changing the hash.
    """
    digest = hashlib.sha256()
    encoded = sorted((document.name.encode("utf-8", "surrogatepass"), document.content) for document in documents)
    for name, content in encoded:
        digest.update(len(name).to_bytes(_LENGTH_BYTES, "big"))
        digest.update(name)
        digest.update(len(content).to_bytes(_LENGTH_BYTES, "big"))
        digest.update(content)
    return Sha256(digest.hexdigest())
