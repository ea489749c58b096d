"""Listing: which outputs a root holds, by names, sizes and times alone; no document is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from hashlib import blake2b
from pathlib import Path
from typing import Final

from shared.errors import Malformed
from shared.frozen import frozen
from shared.ids import RunId, Stage, parse_run_id
from shared.run_folders.folders import FaultError, Folder, open_folder, printable
from shared.run_folders.scanned import Fault, FaultKind, ScannedOutput
from shared.run_folders.scanner import alias_of, may_be_run, opened_root
from shared.run_folders.stage_folder import list_stage, produced_at

_SIGNATURE_BYTES: Final = 8


@frozen
class ListedRun:
    """One run folder: the signature of each stage that holds documents, and what can't be read.

    `size_bytes` is of all its documents.
    """

    run_id: RunId
    stages: Mapping[Stage, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    size_bytes: int = 0


def signature_of(output: ScannedOutput) -> str:
    """Return the signature of an output that was read: the same as that of its listing, if nothing changed."""
    sizes = [(document.name, len(document.content)) for document in output.documents]
    return _signature(sizes, output.produced_at.isoformat())


def list_runs(root: Path, max_output_bytes: int) -> Iterator[ListedRun]:
    """Yield every run folder of the root, in the folder's own order; raises UsageError where it can't be read.

    A link to another run of the root is no run of its own.
    """
    with opened_root(root) as folder, os.scandir(folder.fd) as listing:
        for entry in listing:
            if may_be_run(folder, entry):
                run = _list_run(folder, entry.name, max_output_bytes, is_link=entry.is_symlink())
                if run is not None:
                    yield run


def run_names(root: Path) -> Iterator[str]:
    """Yield the names of all run folders of the root; raises UsageError where it can't be read."""
    with opened_root(root) as folder, os.scandir(folder.fd) as listing:
        yield from (entry.name for entry in listing if may_be_run(folder, entry))


def list_named(root: Path, run_ids: Iterable[str], max_output_bytes: int) -> Iterator[ListedRun]:
    """Yield the runs of these ids that are there, each once; raises UsageError where the root can't be read."""
    with opened_root(root) as folder:
        for run_id in dict.fromkeys(run_ids):
            run = _list_run(folder, run_id, max_output_bytes, is_link=True)
            if run is not None:
                yield run


def _list_run(root: Folder, name: str, max_output_bytes: int, *, is_link: bool) -> ListedRun | None:
    try:
        run_id = parse_run_id(name)
    except Malformed as malformed:
        return ListedRun(RunId(printable(name)), faults=(Fault(FaultKind.NAME, malformed.sentence),))
    stages: dict[Stage, str] = {}
    faults: list[Fault] = []
    size_bytes = 0
    try:
        if is_link and alias_of(root, name) is not None:
            return None
        with open_folder(root, name) as run:
            for stage in Stage:
                found = _list_stage(run, stage, max_output_bytes)
                if isinstance(found, Fault):
                    faults.append(found)
                elif found is not None:
                    stages[stage], stage_bytes = found
                    size_bytes += stage_bytes
    except FaultError as fault:
        return ListedRun(run_id, faults=(Fault(fault.kind, fault.reason),))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = f"The run folder can't be read: {error.strerror}."
        return ListedRun(run_id, faults=(Fault(FaultKind.UNREADABLE, reason),))
    return ListedRun(run_id, stages, tuple(faults), size_bytes)


def _list_stage(run: Folder, stage: Stage, max_output_bytes: int) -> tuple[str, int] | Fault | None:
    """Return the signature of a stage and its bytes, None where it holds no documents."""
    name = f"stage{int(stage)}"
    try:
        with open_folder(run, name) as folder:
            listing = list_stage(folder, stage, max_output_bytes)
    except FaultError as fault:
        return Fault(fault.kind, fault.reason, stage)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Fault(FaultKind.UNREADABLE, f"{name} can't be read: {error.strerror}.", stage)
    if listing is None:
        return None
    sizes = [(entry.name, entry.status.st_size) for entry in listing.entries]
    newest_ns = max([entry.status.st_mtime_ns for entry in listing.entries], default=0)
    return _signature(sizes, produced_at(newest_ns).isoformat()), sum([size for _, size in sizes])


def _signature(sizes: list[tuple[str, int]], newest: str) -> str:
    text = f"{newest} {sizes!r}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=_SIGNATURE_BYTES).hexdigest()
