"""Disks: the run folders, and the space where the embedded services keep their data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ops.doctor.finding import Finding, good, warning, wrong

_GIBIBYTE: Final = 1024**3
_SCARCE_BYTES: Final = 2 * _GIBIBYTE
_GONE_BYTES: Final = _GIBIBYTE // 4


def judge_root(root: Path) -> Iterator[Finding]:
    """Yield how the folder of the run folders is."""
    name = "root"
    place = root.absolute()
    try:
        with os.scandir(root) as entries:
            folders = [entry for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        yield wrong(name, f"{place} does not exist", "Set RUNFERRY_ROOT to the folder of the run folders.")
        return
    except NotADirectoryError:
        yield wrong(name, f"{place} is no folder", "Set RUNFERRY_ROOT to the folder of the run folders.")
        return
    except OSError as error:
        yield wrong(name, f"{place} can't be read: {error.strerror}", "Let this user read it.")
        return
    closed = sum(not os.access(folder.path, os.R_OK | os.X_OK) for folder in folders)
    if closed:
        yield wrong(
            name, f"{closed:,} of {len(folders):,} folders in {place} can't be read", "Let this user read them."
        )
    elif not folders:
        yield warning(
            name, f"{place} holds no run folder", "Is it mounted, and the right one? RUNFERRY_ROOT sets it."
        )
    else:
        yield good(name, f"{place} holds {len(folders):,} folders")


def judge_space(what: str, folder: Path) -> Finding:
    """Return how much space is left on the disk of a folder, or of the one that it will be made in."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return judge_free_bytes(f"disk of {what}", existing, shutil.disk_usage(existing).free)


def judge_free_bytes(name: str, folder: Path, free_bytes: int) -> Finding:
    """Return what so much space means."""
    detail = f"{free_bytes / _GIBIBYTE:,.1f} GiB are free at {folder}"
    todo = "Make room before the disk is full."
    if free_bytes < _GONE_BYTES:
        return wrong(name, detail, todo)
    if free_bytes < _SCARCE_BYTES:
        return warning(name, detail, todo)
    return good(name, detail)
