"""Replacing an output: all of its documents appear together, whenever the writer dies.

    temporaries → intent manifest → renames → deletions → manifest removed

Before the manifest has its name the stage holds the old output, from then on the new one: readers roll a left-over
manifest forward (`shared.run_folders.rolling`), and so does the next writer, on disk. Everything is synced in that
order, so that a power failure leaves no other states than a kill does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from shared.documents import Document, name_fault
from shared.durable_files import make_folder, write_new
from shared.errors import Malformed, OutputBusy, UsageError
from shared.ids import RunId, Stage
from shared.printable import NAME_CHARACTERS
from shared.reasons import Reason
from shared.run_folders.intent import INTENT_NAME, TEMPORARY_PREFIX, IntendedDocument, Intent
from shared.run_folders.rolling import MixedError, read_intent
from shared.run_folders.stage_folder import is_document

_LOCK_NAME: Final = ".runferry-lock"
_LOCK_PATIENCE_S: Final = 30.0
_LOCK_PAUSE_S: Final = 0.005
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = datetime.resolution
#: File systems that can't lock a folder say so like this; NFS is one.
_NO_FOLDER_LOCKS: Final = (errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.ENOLCK)


def replace_output(folder: Path, documents: Sequence[Document], produced_at: datetime) -> None:
    """Make `folder` hold exactly these documents, with `produced_at` as their modification time.

    Makes the folder where it is missing. When it raises OSError, the folder still holds the old output, or already
    the new one, but nothing between. Raises OutputBusy where another writer doesn't come to its end, and Malformed,
    with nothing changed, for a document that is no file of the folder.
    """
    for document in documents:
        fault = name_fault(document.name)
        if fault is not None:
            # Rows say what these are called, and rows are not ours alone.
            raise Malformed(Reason.MESSAGE, f"{document.name[:NAME_CHARACTERS]!r} is no document's name: {fault}.")
    make_folder(folder)
    folder_fd = os.open(folder, _OPEN_FOLDER)
    try:
        with _locked(folder_fd):
            roll_forward(folder_fd)
            _replace(folder_fd, documents, produced_at)
    finally:
        os.close(folder_fd)


def stage_folder_to_write(root: Path, run_id: RunId, stage: Stage) -> Path:
    """Return the folder of a stage, there or not; raises UsageError where a link leads out of the root."""
    folder = root / run_id / f"stage{int(stage)}"
    real, real_root = Path(os.path.realpath(folder)), Path(os.path.realpath(root))
    if real_root not in real.parents:
        raise UsageError(f"{folder} leads out of the root, to {real}: nothing is written through such a link.")
    return folder


def roll_forward(folder_fd: int) -> None:
    """Carry out a left-over manifest, and clear away what killed writers left; the folder must be locked."""
    try:
        found = read_intent(folder_fd)
    except MixedError:
        # It was synced before it got its name: somebody else damaged it, and what is there stays as it is.
        os.unlink(INTENT_NAME, dir_fd=folder_fd)
        found = None
    if found is not None:
        _carry_out(folder_fd, found[0])
    for name in os.listdir(folder_fd):
        if name.startswith(TEMPORARY_PREFIX):
            _unlink(folder_fd, name)


def _replace(folder_fd: int, documents: Sequence[Document], produced_at: datetime) -> None:
    modified_ns = (produced_at - _EPOCH) // _MICROSECOND * 1_000
    prefix = f"{TEMPORARY_PREFIX}{uuid4().hex}-"
    names = {document.name for document in documents}
    removed = tuple(sorted(name for name in _documents_in(folder_fd) if name not in names))
    temporaries: list[str] = []
    try:
        for number, document in enumerate(documents):
            temporaries.append(f"{prefix}{number}")
            write_new(temporaries[-1], document.content, folder_fd=folder_fd, mtime_ns=modified_ns)
        if len(documents) == 1 and not removed:
            # One rename is atomic by itself.
            os.rename(temporaries[0], documents[0].name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            os.fsync(folder_fd)
            return
        intent = Intent(
            tuple(
                IntendedDocument(document.name, len(document.content), document.sha256, temporary)
                for document, temporary in zip(documents, temporaries, strict=True)
            ),
            removed,
            produced_at,
        )
        temporaries.append(f"{prefix}manifest")
        write_new(temporaries[-1], intent.to_json(), folder_fd=folder_fd)
        os.fsync(folder_fd)
    except BaseException:
        for name in temporaries:
            with contextlib.suppress(OSError):
                _unlink(folder_fd, name)
        raise
    # Outside of the clearing away: on some network file systems a rename can be done and still raise.
    os.rename(temporaries[-1], INTENT_NAME, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    os.fsync(folder_fd)
    _carry_out(folder_fd, intent)


def _carry_out(folder_fd: int, intent: Intent) -> None:
    for document in intent.documents:
        with contextlib.suppress(FileNotFoundError):  # it has its place already
            os.rename(document.temporary, document.name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    for name in intent.removed:
        _unlink(folder_fd, name)
    os.fsync(folder_fd)
    _unlink(folder_fd, INTENT_NAME)


def _documents_in(folder_fd: int) -> Iterator[str]:
    with os.scandir(folder_fd) as listing:
        for entry in listing:
            if is_document(entry.name) and (entry.is_symlink() or entry.is_file(follow_symlinks=False)):
                yield entry.name


def _unlink(folder_fd: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder_fd)


@contextlib.contextmanager
def _locked(folder_fd: int) -> Iterator[None]:
    """Keep other writers out; a killed one lets go by dying."""
    try:
        fcntl.flock(folder_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _wait_for_lock(folder_fd)
    except OSError as error:
        if error.errno not in _NO_FOLDER_LOCKS:
            raise
        lock_fd = os.open(_LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666, dir_fd=folder_fd)
        try:
            _wait_for_lock(lock_fd)
            yield
        finally:
            os.close(lock_fd)
        return
    try:
        yield
    finally:
        fcntl.flock(folder_fd, fcntl.LOCK_UN)


def _wait_for_lock(fd: int) -> None:
    deadline_s = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise OutputBusy(
                    f"Another process has been writing this output for {_LOCK_PATIENCE_S:g} s; is it stopped?"
                ) from None
            time.sleep(_LOCK_PAUSE_S)
        else:
            return
