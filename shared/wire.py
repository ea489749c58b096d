"""Wire form: a message of the contract as plain values, as yet unchecked: others may have sent anything. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any


def documents_of(message: object) -> Iterator[dict[str, Any]]:
    """Yield the documents of a message, in its order; what stands there and is none is passed over."""
    for output in _list(message, "outputs"):
        for document in _list(output, "documents"):
            if isinstance(document, dict):
                yield document


def in_json(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with its documents as JSON has them; what is none of the contract's stays as it is."""
    if not isinstance(message.get("outputs"), list):
        return dict(message)
    return {**message, "outputs": [_output_in_json(output) for output in message["outputs"]]}


def content_in_json(content: bytes) -> dict[str, str]:
    """Return a document's content as JSON has it: as text where it is UTF-8, else as base64."""
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode("ascii")}


def _list(holder: object, name: str) -> list[Any]:
    found = holder.get(name) if isinstance(holder, dict) else None
    return found if isinstance(found, list) else []


def _output_in_json(output: object) -> object:
    if not isinstance(output, dict) or not isinstance(output.get("documents"), list):
        return output
    return {**output, "documents": [_document_in_json(document) for document in output["documents"]]}


def _document_in_json(document: object) -> object:
    if not isinstance(document, dict) or not isinstance(content := document.get("content"), bytes):
        return document
    if not document.keys().isdisjoint(("text", "base64")):
        return document  # the contract refuses it, and nothing of why may be lost
    return {name: value for name, value in document.items() if name != "content"} | content_in_json(content)
