"""Near misses: folders of a run that are named nearly as a stage's folder, and that nothing is read from."""

from __future__ import annotations

import os
import re
from typing import Final

from shared.ids import Stage
from shared.run_folders.folders import Folder, printable

_STAGE_FOLDERS: Final = frozenset(f"stage{stage.value}" for stage in Stage)
#: Another case, zeros before the number, what stands between, or a number that no stage has.
_NEARLY: Final = re.compile(r"[\W_]*stages?[\W_]*\d+[\W_]*", re.IGNORECASE)

#: What to do about them.
RENAME: Final = "Name folders of stages stage1 to stage5, as the pipeline does; others are passed over."


def is_near_miss(name: str) -> bool:
    """Return whether a folder of this name is none of a stage, and looks as if it should be; hidden ones never do."""
    return name not in _STAGE_FOLDERS and not name.startswith(".") and _NEARLY.fullmatch(name) is not None


def near_misses(run: Folder) -> tuple[str, ...]:
    """Return the printable names of such folders in an open run folder, in order; raises OSError."""
    with os.scandir(run.fd) as listing:
        found = [entry.name for entry in listing if is_near_miss(entry.name) and entry.is_dir()]
    # Where the file system takes capitals for small letters, it is the stage's folder by another name, and read.
    return tuple(sorted(printable(name) for name in found if not _is_stage(run, name)))


def _is_stage(run: Folder, name: str) -> bool:
    try:
        there = os.stat(name.lower(), dir_fd=run.fd)
        return name.lower() in _STAGE_FOLDERS and os.path.samestat(there, os.stat(name, dir_fd=run.fd))
    except OSError:
        return False
