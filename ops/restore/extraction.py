"""Extraction: an archive becomes a folder again, whole or not at all, with times to the nanosecond."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared.errors import UsageError
from shared.printable import NAME_CHARACTERS

_NS_PER_S: Final = 1_000_000_000
#: Longer paths are in no archive of ours, and have been a way around the filter of the standard library.
_MAX_PATH_BYTES: Final = 4096
#: Inside of the target, which may be a mounted volume: only there is a move a rename.
_EXTRACTING: Final = ".restoring-"


class Extraction:
    """The contents of an archive, hidden in the folder that they are for until they shall appear there."""

    def __init__(self, archive: Path, target: Path, took: Callable[[int], None] = lambda _: None) -> None:
        """Extract; nothing leaves `target`, and what a killed extraction left in it is cleared away.

        Raises UsageError where the archive is damaged or the folder can't be written, and then nothing is left.
        """
        check_free(target)
        self._target = target
        self._hidden = target / f"{_EXTRACTING}{os.getpid()}"
        self._made_here = not target.exists()
        self.files = 0
        try:
            for remains in target.glob(f"{_EXTRACTING}*"):
                shutil.rmtree(remains)
            self._hidden.mkdir(parents=True)
            self._extract(archive, took)
        except BaseException as error:
            self.discard()
            if isinstance(error, tarfile.TarError | EOFError | OSError):
                raise UsageError(f"{archive} can't be extracted to {target}: {error}.") from error
            raise

    def appear(self) -> None:
        """Move what was extracted to its place; raises OSError."""
        for path in list(self._hidden.iterdir()):
            path.rename(self._target / path.name)
        self._hidden.rmdir()

    def discard(self) -> None:
        """Take away what has not appeared."""
        shutil.rmtree(self._hidden, ignore_errors=True)
        if self._made_here:
            with contextlib.suppress(OSError):
                self._target.rmdir()

    def _extract(self, archive: Path, took: Callable[[int], None]) -> None:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                if len(os.fsencode(member.name)) > _MAX_PATH_BYTES:
                    raise tarfile.OutsideDestinationError(member, member.name[:NAME_CHARACTERS])
                try:
                    # Its name is relative from here on, and leads nowhere else.
                    safe = tarfile.data_filter(member, str(self._hidden))
                except (tarfile.LinkOutsideDestinationError, tarfile.AbsoluteLinkError):
                    # It was a link out of the root: no output is read through one.
                    continue
                tar.extract(safe, self._hidden, filter="fully_trusted")
                if safe.isreg():
                    _set_time(self._hidden / safe.name, member)
                    self.files += 1
                    took(self.files)


def check_free(target: Path) -> None:
    """Raise UsageError where `target` is there and not an empty folder."""
    try:
        if target.exists() and any(not path.name.startswith(_EXTRACTING) for path in target.iterdir()):
            raise UsageError(
                f"{target} is not empty: name a new folder, and put what you need in its place yourself."
            )
    except NotADirectoryError:
        raise UsageError(f"{target} is no folder.") from None
    except OSError as error:
        raise UsageError(f"{target} can't be read: {error.strerror}.") from None


def _set_time(path: Path, member: tarfile.TarInfo) -> None:
    seconds, _, fraction = member.pax_headers.get("mtime", str(member.mtime)).partition(".")
    modified_ns = int(seconds) * _NS_PER_S + int(fraction[:9].ljust(9, "0"))
    os.utime(path, ns=(modified_ns, modified_ns))
