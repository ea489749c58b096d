"""The intent manifest: what a stage folder is about to hold, so that an output's documents appear together.

Whoever replaces an output writes all new documents beside the old ones under temporary names, then puts this
manifest in place, and from that moment on the output *is* the new one: renaming the documents, deleting what the new
output no longer has, and removing the manifest only tidy up, and anybody can do that again or read past it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from shared.documents import Sha256

#: The manifest's name in a stage folder; there is one at most, since writers of a stage wait for each other.
INTENT_NAME: Final = ".runferry-intent.json"
#: What new documents are called until they have their place. Hidden, so that no reader takes one for a document.
TEMPORARY_PREFIX: Final = ".runferry-new-"

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class IntendedDocument:
    """A document of the new output, and the name under which it waits until it is renamed."""

    name: str
    size: int
    sha256: Sha256
    temporary: str


@dataclass(frozen=True, slots=True)
class Intent:
    """The new output of a stage: all of its documents, which old ones go, and when it was produced (UTC)."""

    documents: tuple[IntendedDocument, ...]
    removed: tuple[str, ...]
    produced_at: datetime

    def to_json(self) -> bytes:
        """Return the manifest's content."""
        return orjson.dumps(
            {
                "version": _VERSION,
                "produced_at": self.produced_at.isoformat(),
                "documents": [
                    {"name": d.name, "size": d.size, "sha256": d.sha256, "temporary": d.temporary}
                    for d in self.documents
                ],
                "removed": list(self.removed),
            },
            option=orjson.OPT_INDENT_2,
        )

    @classmethod
    def from_json(cls, content: bytes) -> Intent:
        """Return what `to_json` wrote; raises ValueError where it is anything else."""
        value: Any = orjson.loads(content)
        try:
            if value["version"] != _VERSION:
                raise ValueError(f"an intent manifest of version {value['version']}")
            documents = tuple(
                IntendedDocument(
                    _plain(d["name"]), int(d["size"]), Sha256(str(d["sha256"])), _temporary(d["temporary"])
                )
                for d in value["documents"]
            )
            removed = tuple(_plain(name) for name in value["removed"])
            produced_at = datetime.fromisoformat(value["produced_at"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no intent manifest: {error!r}") from None
        return cls(documents, removed, produced_at)


def _plain(name: Any) -> str:
    if not isinstance(name, str) or not name or "/" in name or "\0" in name or name.startswith("."):
        raise ValueError(f"no name of a document: {name!r}")
    return name


def _temporary(name: Any) -> str:
    if not isinstance(name, str) or "/" in name or "\0" in name or not name.startswith(TEMPORARY_PREFIX):
        raise ValueError(f"no name of a temporary file: {name!r}")
    return name
