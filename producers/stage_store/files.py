"""Outputs in files: read whole, or not at all."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from shared.errors import OutputBusy, UsageError
from shared.ids import RunId, Stage
from shared.run_folders.folders import FaultError, open_folder, open_root
from shared.run_folders.intent import TEMPORARY_PREFIX
from shared.run_folders.scanned import Fault, ScannedOutput, Unsettled
from shared.run_folders.stage_folder import Limits, Now, is_document, produced_at, read_stage

_PAUSE_S: Final = 0.02


def read_files(
    root: Path, run_id: RunId, stage: Stage, *, max_output_bytes: int, patience_s: float
) -> ScannedOutput | None:
    """Return what is on disk of a run and stage; None where there is nothing.

    Raises OutputBusy where it is still being written after `patience_s`, UsageError where it can't be read.
    """
    limits = Limits(settle_s=0.0, max_output_bytes=max_output_bytes)
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            with open_root(str(root)) as folder, open_folder(folder, run_id) as run:
                found = read_stage(run, stage, limits, Now(time.time(), time.monotonic()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (FaultError, OSError) as error:
            raise UsageError(f"{root / run_id} can't be read: {error}") from error
        match found:
            case Fault():
                raise UsageError(f"{root / run_id}: {found.reason}")
            case Unsettled():
                if time.monotonic() > deadline_s:
                    raise OutputBusy(f"{root / run_id}: {found.reason}.")
                time.sleep(_PAUSE_S)
            case _:
                return found


def newest_time(root: Path, run_id: RunId, stage: Stage) -> datetime | None:
    """Return the newest modification time of the documents on disk, without reading them; None where it is unknown."""
    newest_ns: int | None = None
    try:
        with os.scandir(root / run_id / f"stage{int(stage)}") as listing:
            for entry in listing:
                if is_document(entry.name) or entry.name.startswith(TEMPORARY_PREFIX):
                    newest_ns = max(newest_ns or 0, entry.stat().st_mtime_ns)
    except OSError:
        return None
    return None if newest_ns is None else produced_at(newest_ns)
