"""What a read gives back: documents, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson
from pydantic import JsonValue

from shared.documents import Document
from shared.ids import RunId, Stage


class Source(StrEnum):
    """Where an output was found."""

    FILES = "files"
    ROWS = "rows"
    IN_FLIGHT = "in flight"  # in this host's outbox, or in the queue: written, and not in the rows yet


@dataclass(frozen=True, slots=True)
class StageOutput:
    """One stage's output as it was written: Markdown byte for byte, JSON value for value."""

    run_id: RunId
    stage: Stage
    documents: tuple[Document, ...]
    source: Source
    produced_at: datetime

    @property
    def names(self) -> tuple[str, ...]:
        """The documents' names in natural order."""
        return tuple(document.name for document in self.documents)

    def content(self, name: str) -> bytes:
        """Return a document's bytes; raises KeyError where the output has none of this name."""
        for document in self.documents:
            if document.name == name:
                return document.content
        raise KeyError(name)

    def text(self, name: str) -> str:
        """Return a document's text; raises KeyError as `content`."""
        return self.content(name).decode()

    def json(self, name: str) -> JsonValue:
        """Return a document's JSON value; raises KeyError as `content`."""
        value: JsonValue = orjson.loads(self.content(name))
        return value
