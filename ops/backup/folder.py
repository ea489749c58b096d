"""Backup folders: made under another name, and whole once they have their own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ops.backup.manifest import NAME as MANIFEST_NAME
from ops.backup.manifest import Manifest, read_manifest
from shared.durable_files import make_folder, sync_folder, write_new
from shared.errors import UsageError

#: A name of this shape is a whole backup; nothing else is looked at.
_WHOLE: Final = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
_MAKING: Final = ".making-"
_REMOVING: Final = ".removing-"


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """Yield a private folder below `folder` to put the parts in; it goes away where it did not become a backup.

    What killed backups left is cleared away first; what another one is making at this moment stays.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise UsageError(f"{folder} can't be made: {error.strerror}.") from None
    clear_remains(folder)
    made = folder / f"{_MAKING}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
    try:
        made.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(f"Nothing can be written to {folder}: {error.strerror}.") from None
    lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems can't lock a folder
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def choose_name(folder: Path, made_at: datetime) -> str:
    """Return the name of a backup that is made at this moment, free in `folder`."""
    plain = f"{made_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    name, number = plain, 1
    while (folder / name).exists():
        number += 1
        name = f"{plain}-{number}"
    return name


def complete(made: Path, manifest: Manifest) -> Path:
    """Make the folder of parts a backup: its manifest last, everything on disk, then its name."""
    write_new(made / MANIFEST_NAME, manifest.to_bytes())
    sync_folder(made)
    whole = made.with_name(manifest.name)
    made.rename(whole)
    sync_folder(whole.parent)
    return whole


def list_backups(folder: Path) -> list[Path]:
    """Return the whole backups in `folder`, newest first; raises UsageError where it can't be read."""
    try:
        with os.scandir(folder) as listing:
            names = [entry.name for entry in listing if _WHOLE.fullmatch(entry.name) and entry.is_dir()]
    except OSError as error:
        raise UsageError(f"{folder} can't be read: {error.strerror}.") from None
    return [folder / name for name in sorted(names, key=_in_time, reverse=True)]


def remove_old(folder: Path, newest: Manifest, keep: int) -> list[Path]:
    """Remove the backups of the same database beyond the `keep` newest ones, and return them.

    What can't be read is no backup that could be counted on: it is neither counted nor removed.
    """
    kept, removed = 0, []
    for backup in list_backups(folder):
        try:
            manifest = read_manifest(backup)
        except UsageError:
            continue
        if _origin(manifest) != _origin(newest):
            continue
        kept += 1
        if kept > keep:
            # Half removed it must not look whole either.
            gone = backup.with_name(f"{_REMOVING}{backup.name}")
            backup.rename(gone)
            shutil.rmtree(gone)
            removed.append(backup)
    return removed


def clear_remains(folder: Path) -> None:
    """Clear away what was neither finished nor removed to its end."""
    for remains in [*folder.glob(f"{_MAKING}*"), *folder.glob(f"{_REMOVING}*")]:
        with contextlib.suppress(OSError):
            fd = os.open(remains, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(remains, ignore_errors=True)
            finally:
                os.close(fd)


def _in_time(name: str) -> tuple[str, int]:
    moment, _, number = name.partition("-")
    return moment, int(number or 1)


def _origin(manifest: Manifest) -> tuple[object, object]:
    return manifest.database["server"], manifest.database["name"]
