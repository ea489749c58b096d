"""Durable files: folders and names that are on disk when a call returns."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each synced into the one that holds it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk."""
    fd = os.open(folder, _OPEN_FOLDER)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(
    name: Path | str, content: bytes, *, folder_fd: int | None = None, mtime_ns: int | None = None
) -> None:
    """Write a file that must not exist yet, with its modification time if one is given, and sync it."""
    fd = os.open(name, _CREATE, 0o666, dir_fd=folder_fd)
    with os.fdopen(fd, "wb", buffering=0) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
        if mtime_ns is not None:
            os.utime(fd, ns=(mtime_ns, mtime_ns))
        os.fsync(fd)
