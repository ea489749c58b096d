"""The manifest of a backup: what it holds, of what, when, and the hashes by which that can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from ops.backup.table_hashes import TableHash
from shared.errors import UsageError

NAME: Final = "manifest.json"
FORMAT: Final = 1
#: A table and a thousand named documents take some hundred bytes each.
_MAX_BYTES: Final = 16 * 1024 * 1024

#: The parts, by their file names.
DATABASE: Final = "database.dump"
RUNS: Final = "runs.tar.gz"
OUTBOX: Final = "outbox.tar.gz"
DEAD_QUEUE: Final = "dead-queue.ndjson"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a backup."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds; `made_at` is when the snapshot was taken, by the server's clock.

    `position` says how far the ledger was; None in a database without runferry's schema.
    """

    name: str
    made_at: datetime
    host: str
    runferry: str
    database: Mapping[str, Any]
    position: Mapping[str, Any] | None
    tables: tuple[TableHash, ...]
    parts: tuple[Part, ...]
    runs: Mapping[str, Any] | None = None
    outbox: Mapping[str, Any] | None = None
    queue: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def size_bytes(self) -> int:
        """What the parts weigh."""
        return sum(part.bytes for part in self.parts)

    def part(self, name: str) -> Part | None:
        """Return a part by its file name, None where this backup has none such."""
        return next((part for part in self.parts if part.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON document."""
        return {
            "format": FORMAT,
            "name": self.name,
            "made_at": self.made_at.isoformat(),
            "host": self.host,
            "runferry": self.runferry,
            "database": dict(self.database),
            "position": None if self.position is None else dict(self.position),
            "tables": [table.to_json() for table in self.tables],
            "parts": [{"name": part.name, "bytes": part.bytes, "sha256": part.sha256} for part in self.parts],
            "runs": self.runs,
            "outbox": self.outbox,
            "queue": dict(self.queue),
        }

    def to_bytes(self) -> bytes:
        """Return the manifest as the folder keeps it."""
        return orjson.dumps(self.to_json(), default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup; raises UsageError where the folder is none."""
    try:
        value = orjson.loads(_read(folder / NAME))
        if value["format"] != FORMAT:
            raise UsageError(
                f"{folder} was made by another runferry: its manifest has the format {value['format']}."
            )
        return Manifest(
            name=value["name"],
            made_at=datetime.fromisoformat(value["made_at"]),
            host=value["host"],
            runferry=value["runferry"],
            database=value["database"],
            position=value["position"],
            tables=tuple(map(TableHash.from_json, value["tables"])),
            parts=tuple(map(_part, value["parts"])),
            runs=value["runs"],
            outbox=value["outbox"],
            queue=value["queue"],
        )
    except FileNotFoundError:
        raise UsageError(f"{folder} is no backup: there is no {NAME} in it.") from None
    except OSError as error:
        raise UsageError(f"{folder / NAME} can't be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / NAME} is damaged: {type(error).__name__}: {error}.") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
    return content


def _part(value: Mapping[str, Any]) -> Part:
    if value["name"] not in (DATABASE, RUNS, OUTBOX, DEAD_QUEUE):
        # A name from elsewhere could be the path of any file.
        raise ValueError(f"{value['name']!r} is no part of a backup")
    return Part(value["name"], int(value["bytes"]), str(value["sha256"]))
