"""Archives: a folder as a compressed tar, streamed, of documents that may change while they are read.

The documents of one folder are read together, and again where any of them changed meanwhile, so that an output that
a stage replaces at that moment is in the archive as it was before or as it is after. What never holds still is
archived as it was seen, and named.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from ops.backup.hashed_file import HashedFile
from ops.backup.manifest import Part
from shared.run_folders.folders import printable

_TRIES: Final = 5
#: A folder with more than this is streamed file by file, so that memory stays constant.
_MOST_HELD_BYTES: Final = 64 * 1024 * 1024
_CHUNK_BYTES: Final = 1 << 20
_MOST_NAMED: Final = 1_000
_NS_PER_S: Final = 1_000_000_000
#: Documents are small texts: more effort saves little and takes long.
_GZIP_LEVEL: Final = 4
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(slots=True)
class Archived:
    """What went into an archive; of what is named, the first thousand."""

    folders: int = 0
    files: int = 0
    bytes: int = 0
    changed: list[str] = field(default_factory=list)  # archived as they were seen, while they changed
    unreadable: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # sockets, devices and the like
    part: Part | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the manifest keeps it."""
        return {
            "folders": self.folders,
            "files": self.files,
            "bytes": self.bytes,
            "changed": self.changed[:_MOST_NAMED],
            "unreadable": self.unreadable[:_MOST_NAMED],
            "left_out": self.left_out[:_MOST_NAMED],
        }


@dataclass(frozen=True, slots=True)
class _Held:
    name: str
    info: tarfile.TarInfo
    content: bytes


class _ChangedError(Exception):
    """A folder changed while it was read."""


class _TooMuchError(Exception):
    """A folder holds more than is held in memory."""


def archive_folder(source: Path, target: Path, took: Callable[[Archived], None] = lambda _: None) -> Archived:
    """Write everything in `source` to the new archive `target`; names in it are relative to `source`.

    Links are kept as links. Raises OSError where `source` can't be listed or `target` can't be written.
    """
    archived = Archived()
    file = HashedFile(target)
    try:
        # A fixed time in the header: equal folders make equal archives.
        with (
            gzip.GzipFile(
                filename="", fileobj=cast("IO[bytes]", file), mode="wb", compresslevel=_GZIP_LEVEL, mtime=0
            ) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
        ):
            _Archiver(tar, source, archived, took).add_folder("")
        archived.part = file.finish()
    except BaseException:
        file.abandon()
        raise
    return archived


class _Archiver:
    def __init__(
        self, tar: tarfile.TarFile, source: Path, archived: Archived, took: Callable[[Archived], None]
    ) -> None:
        self._tar = tar
        self._source = source
        self._archived = archived
        self._took = took

    def add_folder(self, below: str) -> None:
        """Add a folder of the source and all that is in it."""
        folder = self._source / below
        try:
            if below:
                self._tar.addfile(_info_of(below, folder.lstat()))
            self._add_files(below, folder)
            self._archived.folders += 1
            self._took(self._archived)
            with os.scandir(folder) as listing:
                for entry in listing:
                    if entry.is_dir(follow_symlinks=False):
                        self.add_folder(f"{below}/{entry.name}" if below else entry.name)
        except FileNotFoundError:
            if not below:
                raise
        except PermissionError:
            if not below:
                raise
            self._archived.unreadable.append(printable(below))

    def _add_files(self, below: str, folder: Path) -> None:
        for attempt in range(_TRIES):
            try:
                held = list(self._read(below, folder, last=attempt == _TRIES - 1))
            except _ChangedError:
                continue
            except _TooMuchError:
                self._stream_files(below, folder)
                return
            for one in held:
                self._tar.addfile(one.info, _Bytes(one.content) if one.info.isreg() else None)
                self._count(one.info)
            return

    def _read(self, below: str, folder: Path, *, last: bool) -> Iterator[_Held]:
        """Yield all files of a folder; raises `_ChangedError` where they don't belong together, but not at the last."""
        before_ns = folder.stat().st_mtime_ns
        size = 0
        seen: list[tuple[Path, os.stat_result]] = []
        changed: list[str] = []
        unreadable: list[str] = []
        for path, name, status in self._files(below, folder):
            size += status.st_size
            if size > _MOST_HELD_BYTES:
                raise _TooMuchError
            info = _info_of(name, status)
            content = b""
            if stat.S_ISLNK(status.st_mode):
                if (leads_to := _link(path)) is None:
                    changed.append(name)
                    continue
                info.linkname = leads_to
            else:
                try:
                    content = _content(path)
                except FileNotFoundError:
                    changed.append(name)
                    continue
                except OSError:
                    unreadable.append(name)
                    continue
                if len(content) != status.st_size:
                    changed.append(name)
                    info.size = len(content)
            seen.append((path, status))
            yield _Held(name, info, content)
        changed += [str(path.relative_to(self._source)) for path, status in seen if not _is_same(path, status)]
        if folder.stat().st_mtime_ns != before_ns and not changed:
            changed.append(below or ".")
        if changed and not last:
            raise _ChangedError
        self._archived.changed += map(printable, changed)
        self._archived.unreadable += map(printable, unreadable)

    def _stream_files(self, below: str, folder: Path) -> None:
        for path, name, status in self._files(below, folder):
            info = _info_of(name, status)
            if stat.S_ISLNK(status.st_mode):
                if (leads_to := _link(path)) is None:
                    self._archived.changed.append(printable(name))
                    continue
                info.linkname = leads_to
                self._tar.addfile(info)
                continue
            try:
                with open(os.open(path, _OPEN), "rb") as file:  # noqa: PTH123 - a descriptor that follows no link
                    self._tar.addfile(info, _Padded(file))
            except FileNotFoundError:
                continue
            except OSError:
                self._archived.unreadable.append(printable(name))
                continue
            self._count(info)
            if not _is_same(path, status):
                self._archived.changed.append(printable(name))

    def _files(self, below: str, folder: Path) -> Iterator[tuple[Path, str, os.stat_result]]:
        with os.scandir(folder) as listing:
            names = sorted(entry.name for entry in listing if not entry.is_dir(follow_symlinks=False))
        for name in names:
            path, shown = folder / name, f"{below}/{name}" if below else name
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                yield path, shown, status
            elif printable(shown) not in self._archived.left_out:
                self._archived.left_out.append(printable(shown))

    def _count(self, info: tarfile.TarInfo) -> None:
        self._archived.files += 1
        self._archived.bytes += info.size
        self._took(self._archived)


class _Bytes:
    """What a tar file reads of a document that is in memory."""

    def __init__(self, content: bytes) -> None:
        self._left = memoryview(content)

    def read(self, size: int = -1) -> bytes:
        taken, self._left = self._left[:size], self._left[size:]
        return bytes(taken)


class _Padded:
    """What a tar file reads of a file on disk: zeros where it has become shorter than its header says."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        content: bytes = self._file.read(size)
        return content + bytes(size - len(content))


def _info_of(name: str, status: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    seconds, nanoseconds = divmod(status.st_mtime_ns, _NS_PER_S)
    info.mtime = seconds
    # Modification times are the order of outputs, and a float would lose their last digits.
    info.pax_headers = {"mtime": f"{seconds}.{nanoseconds:09}"}
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        info.type = tarfile.SYMTYPE
    else:
        info.size = status.st_size
    return info


def _content(path: Path) -> bytes:
    with open(os.open(path, _OPEN), "rb") as file:  # noqa: PTH123 - a descriptor that follows no link
        return file.read()


def _link(path: Path) -> str | None:
    """Return where a link leads; None where it is none any more."""
    try:
        return str(path.readlink())
    except OSError:
        return None


def _is_same(path: Path, before: os.stat_result) -> bool:
    with contextlib.suppress(OSError):
        now = path.lstat()
        return (now.st_ino, now.st_size, now.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    return False
