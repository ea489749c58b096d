"""The manifest of an output: name, size and hash of each document, as the ledger keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NewType, cast

import orjson
from pydantic import JsonValue

from shared.documents import Document, Sha256, in_natural_order

#: A manifest as the ledger's column holds it: it is kept for every output, and read for few.
ManifestText = NewType("ManifestText", str)


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One document of an output; `size` is in bytes."""

    name: str
    size: int
    sha256: Sha256

    def to_json(self) -> dict[str, JsonValue]:
        """Return the entry as JSON values."""
        return {"name": self.name, "size": self.size, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: JsonValue) -> ManifestEntry:
        """Return the entry that `to_json` gave."""
        entry = cast(dict[str, JsonValue], value)
        return cls(cast(str, entry["name"]), cast(int, entry["size"]), Sha256(cast(str, entry["sha256"])))


def manifest_of(documents: Iterable[Document]) -> tuple[ManifestEntry, ...]:
    """Return the manifest of `documents`, in natural order of their names."""
    return tuple(
        ManifestEntry(document.name, len(document.content), document.sha256)
        for document in in_natural_order(documents)
    )


def manifest_text(documents: Iterable[Document]) -> ManifestText:
    """Return the manifest of `documents`, in natural order of their names, as the ledger's column holds it."""
    return ManifestText(orjson.dumps(_values(in_natural_order(documents))).decode())


def is_manifest_of(manifest: ManifestText, documents: Iterable[Document]) -> bool:
    """Return whether the manifest is that of documents in natural order."""
    return bool(orjson.loads(manifest) == _values(documents))


def manifest_to_json(manifest: Iterable[ManifestEntry]) -> list[JsonValue]:
    """Return the manifest as JSON values."""
    return [entry.to_json() for entry in manifest]


def manifest_from_json(values: Sequence[JsonValue]) -> tuple[ManifestEntry, ...]:
    """Return the manifest that `manifest_to_json` gave."""
    return tuple(ManifestEntry.from_json(value) for value in values)


def _values(documents: Iterable[Document]) -> list[dict[str, JsonValue]]:
    return [
        {"name": document.name, "size": len(document.content), "sha256": document.sha256} for document in documents
    ]


def sha256_of(content: bytes) -> Sha256:
    """Return the hash of one document's bytes."""
    return Sha256(hashlib.sha256(content).hexdigest())
