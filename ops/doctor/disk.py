"""Disks: whether there is room for what runferry writes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from ops.doctor.finding import Finding, good, warning, wrong

_GIBIBYTE: Final = 1024**3
_SCARCE_BYTES: Final = 2 * _GIBIBYTE
_GONE_BYTES: Final = _GIBIBYTE // 4


def judge_space(what: str, folder: Path, *, needed_bytes: int = 0, written: bool = True) -> Finding:
    """Return how much space is left on the disk of a folder, or of the one that it will be made in.

    `needed_bytes` may come on top of what is there; where it is `written`, this user must be able to.
    """
    name = f"disk of {what}"
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if written and not os.access(existing, os.W_OK | os.X_OK):
        return wrong(name, f"{existing} can't be written by this user", "Let this user write there.")
    return judge_free_bytes(name, existing, shutil.disk_usage(existing).free, needed_bytes)


def judge_free_bytes(name: str, folder: Path, free_bytes: int, needed_bytes: int = 0) -> Finding:
    """Return what so much space means."""
    detail = f"{free_bytes / _GIBIBYTE:,.1f} GiB are free at {folder}"
    todo = "Make room before the disk is full."
    if free_bytes < _GONE_BYTES:
        return wrong(name, detail, todo)
    if free_bytes < needed_bytes:
        return warning(name, f"{detail}, and {needed_bytes / _GIBIBYTE:,.1f} may be needed", todo)
    if free_bytes < _SCARCE_BYTES:
        return warning(name, detail, todo)
    return good(name, detail)
