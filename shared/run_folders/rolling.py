"""Rolling forward: how a left-over intent manifest is read past, without writing anything.

From the moment of its manifest on, a stage's output is what the manifest says. Each of its documents waits under its
temporary name, or has its own name already. What somebody else wrote since, without the manifest, belongs to neither
output: then nobody can say what the stage holds.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Final, NamedTuple

from shared.run_folders.intent import INTENT_NAME, IntendedDocument, Intent

_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024


class MixedError(Exception):
    """Others wrote into the folder after the manifest was put there, or the manifest can't be read."""


class Rolled(NamedTuple):
    """Where a document of the new output is now."""

    document: IntendedDocument
    source: str
    status: os.stat_result


def read_intent(folder_fd: int) -> tuple[Intent, os.stat_result] | None:
    """Return the manifest of an open stage folder and its status; None where there is none, or no more.

    Raises MixedError where it can't be read.
    """
    try:
        fd = os.open(INTENT_NAME, _OPEN, dir_fd=folder_fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MixedError(str(error)) from error
    with os.fdopen(fd, "rb") as file:
        try:
            return Intent.from_json(file.read(_MAX_MANIFEST_BYTES)), os.fstat(fd)
        except (ValueError, OSError) as error:
            raise MixedError(str(error)) from error


def rolled_forward(
    folder_fd: int, intent: Intent, placed_at: os.stat_result, present: Mapping[str, os.stat_result]
) -> tuple[Rolled, ...]:
    """Return where each document of the new output is; `present` are the documents under their own names.

    `placed_at` is the manifest's own status. Raises MixedError where others wrote meanwhile.
    """
    intended = {document.name: document for document in intent.documents}
    foreign = present.keys() - intended.keys() - set(intent.removed)
    if foreign:
        raise MixedError(f"{min(foreign)} is no part of the output that the manifest announces")
    rolled = tuple(_find(folder_fd, document) for document in intent.documents)
    renamed = {found.document.name for found in rolled if found.source == found.document.name}
    for name, status in present.items():
        # Names and contents that were there before the manifest changed before it, whatever their times say.
        if name not in renamed and status.st_ctime_ns > placed_at.st_ctime_ns:
            raise MixedError(f"{name} was written after the manifest")
    return rolled


def _find(folder_fd: int, document: IntendedDocument) -> Rolled:
    for source in (document.temporary, document.name):
        try:
            status = os.stat(source, dir_fd=folder_fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size == document.size:
            return Rolled(document, source, status)
        raise MixedError(f"{document.name} is not what the manifest announces")
    raise MixedError(f"{document.name} is gone")
