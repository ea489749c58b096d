"""Rereading: the documents of a letter's output as they are on disk by now."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ops.dlq.messages import Copy, Unreplayable
from shared.dead_letters.letter import FiledLetter
from shared.errors import Malformed, UsageError
from shared.ids import Stage, parse_run_id
from shared.run_folders.folders import FaultError, open_folder, open_root
from shared.run_folders.scanned import Fault, ScannedOutput
from shared.run_folders.stage_folder import Limits, Now, read_stage


def check_root(root: Path) -> None:
    """Raise UsageError where `root` is no folder that can be read."""
    if not root.is_dir() or not os.access(root, os.R_OK | os.X_OK):
        raise UsageError(
            f"The root {root} is no folder that can be read; give the folder of the run folders by --root."
        )


def reread(filed: FiledLetter, root: Path, max_output_bytes: int) -> Copy:
    """Return what stands in the run folder; raises Unreplayable with the reason where nothing can be read."""
    if not filed.letter.stage:
        raise Unreplayable("The letter holds a whole message; it is of no one stage folder.")
    stage = Stage(filed.letter.stage)
    try:
        run_id = parse_run_id(filed.letter.run_id)
        with open_root(str(root)) as top, open_folder(top, run_id) as run:
            # The operator says that the mended files are there; settling is for scans that nobody announced.
            found = read_stage(run, stage, Limits(0.0, max_output_bytes), Now(time.time(), time.monotonic()))
    except (Malformed, FaultError) as error:
        raise Unreplayable(str(error)) from error
    except OSError as error:
        raise Unreplayable(f"{filed.letter.run_id} can't be read below {root}: {error.strerror}.") from error
    match found:
        case ScannedOutput():
            return Copy(found.documents, found.produced_at)
        case Fault():
            raise Unreplayable(f"{filed.letter.run_id}: {found.reason}")
        case None:
            raise Unreplayable(f"{filed.letter.run_id} has no documents in stage{stage.value} below {root}.")
        case _:
            raise Unreplayable(f"{filed.letter.run_id}: {found.reason}; replay it once more.")
