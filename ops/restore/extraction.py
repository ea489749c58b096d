"""Extraction: an archive becomes a folder again, with the times of its documents to the nanosecond."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared.errors import UsageError

_NS_PER_S: Final = 1_000_000_000
#: Longer paths are in no archive of ours, and have been a way around the filter of the standard library.
_MAX_PATH_BYTES: Final = 4096
_SHOWN_CHARS: Final = 80


def check_free(target: Path) -> None:
    """Raise UsageError where `target` is there and not an empty folder."""
    try:
        if target.exists() and any(target.iterdir()):
            raise UsageError(
                f"{target} is not empty: name a new folder, and put what you need in its place yourself."
            )
    except NotADirectoryError:
        raise UsageError(f"{target} is no folder.") from None


def extract(archive: Path, target: Path, took: Callable[[int], None] = lambda _: None) -> int:
    """Extract the archive of a backup, and return how many files it held; nothing leaves `target`.

    Raises UsageError where the archive is damaged or the folder can't be written.
    """
    check_free(target)
    files = 0
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                if len(os.fsencode(member.name)) > _MAX_PATH_BYTES:
                    raise tarfile.OutsideDestinationError(member, member.name[:_SHOWN_CHARS])
                try:
                    # Its name is relative from here on, and leads nowhere else.
                    safe = tarfile.data_filter(member, str(target))
                except (tarfile.LinkOutsideDestinationError, tarfile.AbsoluteLinkError):
                    # It was a link out of the root: no output is read through one.
                    continue
                tar.extract(safe, target, filter="fully_trusted")
                if safe.isreg():
                    _set_time(target / safe.name, member)
                    files += 1
                    took(files)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UsageError(f"{archive} can't be extracted to {target}: {error}.") from error
    return files


def _set_time(path: Path, member: tarfile.TarInfo) -> None:
    seconds, _, fraction = member.pax_headers.get("mtime", str(member.mtime)).partition(".")
    modified_ns = int(seconds) * _NS_PER_S + int(fraction[:9].ljust(9, "0"))
    os.utime(path, ns=(modified_ns, modified_ns))
