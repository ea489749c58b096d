"""Stage folder: reads the documents of one stage as they are, never torn and never larger than the limit.

Every document is looked at before it is read and once more after all are read, and so is the folder. What changed
in between is read again, and after a few tries counts as unsettled. Modification times have a granularity of some
milliseconds, so that alone is not enough: the settle time covers the rest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from shared.documents import Document, natural_order
from shared.formats.kinds import Kind, kind_of
from shared.ids import Stage
from shared.mapping.manifest import sha256_of
from shared.moment_bounds import EARLIEST, LATEST, within_bounds
from shared.run_folders.folders import FaultError, Folder, followed, is_utf8, open_folder, printable
from shared.run_folders.intent import INTENT_NAME
from shared.run_folders.rolling import MixedError, Rolled, read_intent, rolled_forward
from shared.run_folders.scanned import Fault, FaultKind, ScannedOutput, Unsettled
from shared.run_folders.settling import unsettled_for_s, was_watched

_OFFICE_LOCK: Final = "~$"
# Without O_NONBLOCK, opening a named pipe that took a document's place would wait for a writer for ever.
_OPEN_DOCUMENT: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_TRIES: Final = 3
_SIGNATURE_BYTES: Final = 16
_LEAST_WAIT_S: Final = 1.0
_NS_PER_S: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an output must have been left alone, and how large it may be."""

    settle_s: float
    max_output_bytes: int


class Now(NamedTuple):
    """One moment on both clocks: seconds since the epoch, and monotonic seconds."""

    wall_s: float
    monotonic_s: float


class _Entry(NamedTuple):
    name: str
    is_link: bool
    status: os.stat_result
    source: str  # the file's name: not its document's while an output is being replaced
    sha256: str | None = None  # what the document must be, where an intent manifest says so

    def version(self) -> tuple[int, int, int]:
        return _version(self.status)


class Listing(NamedTuple):
    """The documents of a stage folder as the file system describes them, in natural order."""

    folder_status: os.stat_result
    has_intent: bool
    entries: tuple[_Entry, ...]

    def signature(self) -> bytes:
        """Return a digest that changes with any name, size or modification time in the folder."""
        seen = (self.folder_status.st_mtime_ns, *((entry.name, entry.version()) for entry in self.entries))
        return blake2b(repr(seen).encode("utf-8", "surrogatepass"), digest_size=_SIGNATURE_BYTES).digest()


class _ChangedError(Exception):
    """The folder changed while it was read."""


@lru_cache(maxsize=4096)
def is_document(name: str) -> bool:
    """Return whether a file of this name belongs to an output; hidden files and editors' leftovers don't."""
    return kind_of(name) is not Kind.OTHER and not name.startswith((".", _OFFICE_LOCK))


def produced_at(modified_ns: int) -> datetime:
    """Return a modification time as UTC with microseconds; one beyond the bounds is taken for the bound."""
    try:
        return within_bounds(_EPOCH + timedelta(microseconds=modified_ns // 1_000))
    except OverflowError:
        return LATEST if modified_ns > 0 else EARLIEST


def read_stage(
    run: Folder, stage: Stage, limits: Limits, now: Now, before: Unsettled | None = None
) -> ScannedOutput | Unsettled | Fault | None:
    """Return what is in `stage<n>` of a run folder; None where it holds no documents.

    `before` is what an earlier reading found unsettled: what still looks the same has settled by being watched.
    """
    name = f"stage{int(stage)}"
    try:
        with open_folder(run, name) as folder:
            return _read(folder, stage, limits, now, before)
    except FaultError as fault:
        return Fault(fault.kind, fault.reason, stage)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Fault(FaultKind.UNREADABLE, f"{name} can't be read: {error.strerror}.", stage)


def list_stage(folder: Folder, stage: Stage, max_bytes: int) -> Listing | None:
    """Return the documents of an open stage folder without reading them; None where it holds none.

    Raises FaultError where they can't be sent, and OSError.
    """
    listing = _list(folder, stage)
    if not listing.entries and not listing.has_intent:
        return None
    _check_size(listing, stage, max_bytes)
    return listing


def _read(
    folder: Folder, stage: Stage, limits: Limits, now: Now, before: Unsettled | None
) -> ScannedOutput | Unsettled | None:
    for _ in range(_TRIES):
        found = list_stage(folder, stage, limits.max_output_bytes)
        if found is None:
            return None
        listing = found
        modified_ns = max([entry.status.st_mtime_ns for entry in listing.entries], default=0)
        unsettled = _unsettled(listing, modified_ns, stage, limits, now, before)
        if unsettled is not None:
            return unsettled
        try:
            documents = tuple(Document(entry.name, _content(folder, stage, entry)) for entry in listing.entries)
        except _ChangedError:
            continue
        if _is_unchanged(folder, listing):
            return ScannedOutput(stage, documents, produced_at(modified_ns))
    reason = f"stage{int(stage)} changed while it was read"
    wait_s = max(limits.settle_s, _LEAST_WAIT_S)
    return Unsettled(stage, reason, listing.signature(), now.monotonic_s, now.monotonic_s + wait_s)


def _version(status: os.stat_result) -> tuple[int, int, int]:
    # The change time is left out: a chmod or a new hard link doesn't change what a document says.
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_unchanged(folder: Folder, listing: Listing) -> bool:
    """Return whether no document and no name in the folder changed since it was listed."""
    try:
        for entry in listing.entries:
            status = os.stat(entry.source, dir_fd=folder.fd, follow_symlinks=entry.is_link)
            if _version(status) != entry.version():
                return False
    except OSError:
        return False
    # New, renamed and removed names show in the folder's own time.
    return os.fstat(folder.fd).st_mtime_ns == listing.folder_status.st_mtime_ns


def _unsettled(
    listing: Listing, modified_ns: int, stage: Stage, limits: Limits, now: Now, before: Unsettled | None
) -> Unsettled | None:
    changed_ns = max([entry.status.st_ctime_ns for entry in listing.entries], default=0)
    wait_s = unsettled_for_s(
        modified_s=max(modified_ns, listing.folder_status.st_mtime_ns) / _NS_PER_S,
        changed_s=max(changed_ns, listing.folder_status.st_ctime_ns) / _NS_PER_S,
        now_s=now.wall_s,
        settle_s=limits.settle_s,
    )
    if listing.has_intent:
        reason = f"stage{int(stage)} is being replaced by the stage store, and others write there as well"
        wait_s = max(limits.settle_s, _LEAST_WAIT_S)
    elif wait_s > 0:
        reason = f"stage{int(stage)} changed less than {limits.settle_s:g} s ago"
    else:
        return None
    signature = listing.signature()
    seen_at_s = now.monotonic_s
    if before is not None and before.signature == signature:
        seen_at_s = before.seen_at_s
        watched = was_watched(seen_at_s=seen_at_s, now_s=now.monotonic_s, settle_s=limits.settle_s)
        if watched and not listing.has_intent:
            return None
    return Unsettled(stage, reason, signature, seen_at_s, now.monotonic_s + wait_s)


def _list(folder: Folder, stage: Stage) -> Listing:
    """Return the documents of a folder in natural order, with their times and sizes."""
    has_intent = False
    entries: list[_Entry] = []
    folder_status = os.fstat(folder.fd)
    with os.scandir(folder.fd) as listing:
        for entry in listing:
            name = entry.name
            if not is_document(name):
                has_intent = has_intent or name == INTENT_NAME
                continue
            is_link = entry.is_symlink()
            if not is_link and not entry.is_file(follow_symlinks=False):
                continue
            if not is_utf8(name):
                reason = f"stage{int(stage)} holds a document whose name is not UTF-8: {printable(name)}."
                raise FaultError(FaultKind.NAME, reason)
            if is_link and not os.path.isfile(followed(folder, name)):  # noqa: PTH113 - the hot path has strings
                continue
            try:
                status = entry.stat(follow_symlinks=is_link)
            except FileNotFoundError:  # removed since it was listed
                continue
            entries.append(_Entry(name, is_link, status, name))
    if has_intent:
        # None: it was removed since it was listed, and the listing no longer holds.
        rolled = _roll_forward(folder, entries)
        return _list(folder, stage) if rolled is None else Listing(folder_status, *rolled)
    entries.sort(key=_by_name)
    return Listing(folder_status, has_intent, tuple(entries))


def _roll_forward(folder: Folder, entries: list[_Entry]) -> tuple[bool, tuple[_Entry, ...]] | None:
    """Return the entries as they are once a left-over manifest is carried out, and whether it can't be."""
    try:
        found = read_intent(folder.fd)
        if found is None:
            return None
        intent, placed = found
        rolled = rolled_forward(folder.fd, intent, placed, {entry.name: entry.status for entry in entries})
    except MixedError:
        return True, tuple(sorted(entries, key=_by_name))
    return False, tuple(sorted(map(_rolled_entry, rolled), key=_by_name))


def _rolled_entry(rolled: Rolled) -> _Entry:
    return _Entry(rolled.document.name, False, rolled.status, rolled.source, rolled.document.sha256)


def _by_name(entry: _Entry) -> tuple[Any, str]:
    return natural_order(entry.name)


def _check_size(listing: Listing, stage: Stage, max_bytes: int) -> None:
    size = sum([entry.status.st_size for entry in listing.entries])
    if size <= max_bytes:
        return
    largest = max(listing.entries, key=lambda entry: entry.status.st_size)
    reason = (
        f"stage{int(stage)} is too large: {size:,} bytes, of which {largest.name} has {largest.status.st_size:,}; "
        f"the limit for one output is {max_bytes:,} (RUNFERRY_MAX_OUTPUT_BYTES)."
    )
    raise FaultError(FaultKind.TOO_LARGE, reason)


def _content(folder: Folder, stage: Stage, entry: _Entry) -> bytes:
    try:
        fd = os.open(entry.source, _OPEN_DOCUMENT, dir_fd=folder.fd)
    except FileNotFoundError:
        raise _ChangedError from None
    except OSError as error:
        reason = f"stage{int(stage)}/{printable(entry.name)} can't be read: {error.strerror}."
        raise FaultError(FaultKind.UNREADABLE, reason) from None
    try:
        # One byte more than expected: a regular file answers in one piece, so this shows its end as well.
        content = os.read(fd, entry.status.st_size + 1)
    except OSError as error:
        reason = f"stage{int(stage)}/{printable(entry.name)} can't be read: {error.strerror}."
        raise FaultError(FaultKind.UNREADABLE, reason) from None
    finally:
        os.close(fd)
    if len(content) != entry.status.st_size:
        raise _ChangedError
    if entry.sha256 is not None and entry.sha256 != sha256_of(content):
        raise _ChangedError
    return content
