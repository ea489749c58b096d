"""Folders: opened one below the other, following links only while they stay inside the root."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Final

from shared.frozen import frozen
from shared.run_folders.scanned import FaultKind

_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FaultError(Exception):
    """Something on disk can't be sent; carries the fault's kind and sentence up to where it is reported."""

    def __init__(self, kind: FaultKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


@frozen
class Folder:
    """An open folder: its descriptor, its real path, and the real path of the root that links may not leave."""

    fd: int
    path: str
    root: str

    def is_inside(self, real_path: str) -> bool:
        """Return whether a real path is the root or below it."""
        return real_path == self.root or real_path.startswith(self.root.rstrip("/") + "/")


def printable(name: str) -> str:
    """Return a file name as text that can be printed: what is no UTF-8 or a control character is escaped."""
    if name.isprintable():
        return name
    try:
        text = os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # Half a surrogate pair, which no file system gives but a message may.
        text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def is_utf8(name: str) -> bool:
    """Return whether a name as the file system gave it is UTF-8; what isn't comes as lone surrogates."""
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)


@contextlib.contextmanager
def open_root(path: str) -> Iterator[Folder]:
    """Open the folder of the run folders; raises OSError."""
    real = os.path.realpath(path)
    fd = os.open(real, _OPEN_FOLDER)
    try:
        yield Folder(fd, real, real)
    finally:
        os.close(fd)


@contextlib.contextmanager
def open_folder(parent: Folder, name: str) -> Iterator[Folder]:
    """Open a folder in `parent`; raises FaultError where it is a bad link, else OSError."""
    path = f"{parent.path}/{name}"
    try:
        fd = os.open(name, _OPEN_FOLDER, dir_fd=parent.fd)
    except OSError as error:
        # Linux answers ENOTDIR for a link, other systems ELOOP.
        if error.errno not in (errno.ELOOP, errno.ENOTDIR) or not os.path.islink(path):  # noqa: PTH114 - hot path
            raise
        path = followed(parent, name)
        fd = os.open(path, _OPEN_FOLDER)
    try:
        yield Folder(fd, path, parent.root)
    finally:
        os.close(fd)


def followed(parent: Folder, name: str) -> str:
    """Return the real path of the link `name`; raises FaultError where it loops, dangles or leaves the root."""
    shown = _shown(parent, name)
    try:
        real = os.path.realpath(f"{parent.path}/{name}", strict=True)
    except OSError as error:
        what = "part of a link loop" if error.errno == errno.ELOOP else "a link that leads nowhere"
        raise FaultError(FaultKind.LINK, f"{shown} is {what}.") from None
    if not parent.is_inside(real):
        raise FaultError(FaultKind.OUTSIDE_ROOT, f"{shown} is a link out of the root, to {printable(real)}.")
    return real


def _shown(parent: Folder, name: str) -> str:
    """Return the path from the run folder on: a run is named beside every fault already."""
    below_run = parent.path[len(parent.root) :].strip("/").split("/")[1:]
    return printable("/".join((*below_run, name)))
