"""The phase that a host heard of last, on its disk: a process stays in it while the stores are away."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final
from uuid import uuid4

from shared.durable_files import make_folder, sync_folder, write_new
from shared.phase.change import PhaseChange

_NAME: Final = "phase.json"


def recall(home: Path) -> PhaseChange | None:
    """Return the change that was remembered; None where there is none, or it can't be read."""
    try:
        return PhaseChange.from_json((home / _NAME).read_bytes())
    except (OSError, ValueError):
        return None


def remember(home: Path, change: PhaseChange | None) -> None:
    """Remember a change, or forget the last one; a disk that can't be written to is no reason to stop."""
    with contextlib.suppress(OSError):
        if change is None:
            (home / _NAME).unlink(missing_ok=True)
            return
        make_folder(home)
        temporary = home / f".{_NAME}-{uuid4().hex}"
        write_new(temporary, change.to_json())
        temporary.replace(home / _NAME)
        sync_folder(home)
