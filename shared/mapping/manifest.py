"""The manifest of an output: name, size and hash of each document, as the ledger keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NewType

import orjson

from shared.documents import Document, Sha256, in_natural_order

#: A manifest as JSON text: it is kept for every output, and read for few. PostgreSQL gives the same manifest back in
#: other words, so two texts are never compared.
ManifestText = NewType("ManifestText", str)


def manifest_text(documents: Iterable[Document]) -> ManifestText:
    """Return the manifest of `documents`, in natural order of their names."""
    return ManifestText(orjson.dumps(_values(in_natural_order(documents))).decode())


def is_manifest_of(manifest: ManifestText, documents: Iterable[Document]) -> bool:
    """Return whether the manifest is that of documents in natural order."""
    return bool(orjson.loads(manifest) == _values(documents))


def names_in(manifest: ManifestText) -> tuple[str, ...]:
    """Return the names of the documents, in their order."""
    return tuple(entry["name"] for entry in orjson.loads(manifest))


def sha256_of(content: bytes) -> Sha256:
    """Return the hash of one document's bytes."""
    return Sha256(hashlib.sha256(content).hexdigest())


def _values(documents: Iterable[Document]) -> list[dict[str, Any]]:
    return [
        {"name": document.name, "size": len(document.content), "sha256": document.sha256} for document in documents
    ]
