"""The outbox on disk: takes messages durably, bounded in bytes; shared by all processes of a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Final
from uuid import uuid4

from dramatiq import Message

from producers.outbox.entry import Entry, EntryName, decode, encode, key_of
from shared.durable_files import make_folder, sync_folder, write_new
from shared.errors import OutboxFull
from shared.ids import RunId, Stage

_TEMPORARY: Final = ".new-"
_LOCK: Final = ".flushing"
#: A temporary file this old was left by a killed writer.
_ABANDONED_S: Final = 3600.0
#: How long a count of bytes is believed; other processes add to the same folder.
_COUNTED_FOR_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Usage:
    """What is in the outbox."""

    entries: int = 0
    bytes: int = 0
    oldest: EntryName | None = None


class Outbox:
    """Messages in the folder `outbox` of a home, one file each; nothing is made before the first message."""

    def __init__(self, home: Path, max_bytes: int) -> None:
        self.folder = home / "outbox"
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._counted_at_s = 0.0
        self._bytes = 0

    def put(self, message: Message[Any], run_id: RunId, stage: Stage, produced_at: datetime) -> EntryName:
        """Take the message of one output; it is on disk when this returns.

        Raises OutboxFull, and OSError; then the message was not taken.
        """
        content = encode(message)
        made = EntryName(produced_at, key_of(run_id, stage), message.message_id)
        self._make_room(len(content))
        make_folder(self.folder)
        temporary = self.folder / f"{_TEMPORARY}{uuid4().hex}"
        place = self.folder / made.file_name
        try:
            write_new(temporary, content)
            temporary.rename(place)
            sync_folder(self.folder)
        except BaseException:
            for path in (temporary, place):
                with contextlib.suppress(OSError):
                    path.unlink()
            raise
        return made

    def names(self) -> list[EntryName]:
        """Return the names of all entries, oldest output first."""
        return sorted(name for name, _ in self._list())

    def count(self) -> int:
        """Return how many entries there are."""
        return sum(1 for _ in self._list())

    def usage(self) -> Usage:
        """Return how many entries and bytes there are."""
        found = list(self._list())
        return Usage(len(found), sum(size for _, size in found), min((name for name, _ in found), default=None))

    def read(self, name: EntryName) -> Entry | None:
        """Return an entry; None where it is gone. Raises ValueError where its file is damaged."""
        try:
            content = (self.folder / name.file_name).read_bytes()
        except FileNotFoundError:
            return None
        return decode(name, content)

    def newest(self, run_id: RunId, stage: Stage) -> Entry | None:
        """Return the entry of a run and stage that was produced last; None where there is none."""
        key = key_of(run_id, stage)
        for name in sorted((name for name, _ in self._list() if name.key == key), reverse=True):
            with contextlib.suppress(ValueError):
                entry = self.read(name)
                if entry is not None and (entry.contract.run_id, entry.output.stage) == (run_id, stage):
                    return entry
        return None

    def newest_name(self, run_id: RunId, stage: Stage) -> EntryName | None:
        """Return the name of the entry of a run and stage that was produced last, without reading any."""
        key = key_of(run_id, stage)
        return max((name for name, _ in self._list() if name.key == key), default=None)

    def remove(self, name: EntryName) -> None:
        """Forget an entry; it has a durable end elsewhere."""
        (self.folder / name.file_name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def flushing(self) -> Iterator[bool]:
        """Be the one process that flushes; yields False where another is."""
        try:
            fd = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            yield False
            return
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                self._clear_abandoned()
                yield True
        finally:
            os.close(fd)

    def _list(self) -> Iterator[tuple[EntryName, int]]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as listing:
            for file in listing:
                name = EntryName.parse(file.name)
                if name is not None:
                    with contextlib.suppress(FileNotFoundError):  # it had its end since it was listed
                        yield name, file.stat().st_size

    def _make_room(self, size: int) -> None:
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._counted_at_s > _COUNTED_FOR_S or self._bytes + size > self._max_bytes:
                self._bytes = sum(size for _, size in self._list())
                self._counted_at_s = now_s
            if self._bytes + size > self._max_bytes:
                raise OutboxFull(
                    f"The outbox {self.folder} holds {self._bytes:,} bytes, the limit is {self._max_bytes:,} "
                    f"(RUNFERRY_OUTBOX_MAX_BYTES), and this output needs {size:,}. It empties as workers write to "
                    "PostgreSQL: see `producer outbox status`."
                )
            self._bytes += size

    def _clear_abandoned(self) -> None:
        for path in self.folder.glob(f"{_TEMPORARY}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    path.unlink()
