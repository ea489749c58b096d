"""Scanner: streams the runs of a root folder; constant in memory, whatever the number of runs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from shared.errors import Malformed, UsageError
from shared.ids import RunId, Stage, parse_run_id
from shared.run_folders.folders import FaultError, Folder, followed, open_folder, open_root, printable
from shared.run_folders.near_misses import near_misses
from shared.run_folders.scanned import Fault, FaultKind, ScannedOutput, ScannedRun, Unsettled
from shared.run_folders.share import Share
from shared.run_folders.stage_folder import Limits, Now, read_stage

_ALL_STAGES: Final = tuple(Stage)


class Scanner:
    """Reads run folders below a root; of all its runs only those of `share`, if given.

    The runs of a root come in the folder's own order: sorting them would need all of them in memory.
    """

    def __init__(
        self,
        root: Path,
        limits: Limits,
        *,
        share: Share | None = None,
        wall_clock_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._limits = limits
        self._share = share
        self._wall_clock_s = wall_clock_s
        self._monotonic_s = monotonic_s

    def check_root(self) -> None:
        """Raise UsageError where the root can't be read."""
        with self._open_root():
            pass

    def runs(self) -> Iterator[ScannedRun]:
        """Yield every run folder of the root; raises UsageError where the root can't be read."""
        with self._open_root() as root, os.scandir(root.fd) as listing:
            for entry in listing:
                if not self._takes(root, entry):
                    continue
                run = self._scan(root, entry.name, is_link=entry.is_symlink())
                if run is not None:  # else it was removed since it was listed
                    yield run

    def named(self, run_ids: Iterable[str]) -> Iterator[ScannedRun]:
        """Yield the runs of these ids, each once; what can't be sent, or isn't there, comes with a fault."""
        with self._open_root() as root:
            for run_id in dict.fromkeys(run_ids):
                run = self._scan(root, run_id, is_link=True)
                if run is None:
                    run = _faulty(run_id, FaultKind.NOT_FOUND, f"There is no such run folder in {self._root}.")
                elif run.alias_of is not None:
                    run = _faulty(
                        run_id, FaultKind.LINK, f"It is only a link to the run {run.alias_of}: name that."
                    )
                yield run

    def again(self, run_id: RunId, unsettled: Iterable[Unsettled]) -> ScannedRun:
        """Read again what was unsettled in a run, and only that; a run that is gone comes back empty."""
        before = {part.stage: part for part in unsettled}
        with self._open_root() as root:
            return self._scan(root, run_id, tuple(sorted(before)), before) or ScannedRun(run_id)

    def count(self) -> int:
        """Return how many run folders the root has, by their names alone."""
        with self._open_root() as root, os.scandir(root.fd) as listing:
            return sum(1 for entry in listing if self._takes(root, entry))

    def _takes(self, root: Folder, entry: os.DirEntry[str]) -> bool:
        return (self._share is None or self._share.takes(entry.name)) and may_be_run(root, entry)

    def _open_root(self) -> contextlib.AbstractContextManager[Folder]:
        return opened_root(self._root)

    def _scan(
        self,
        root: Folder,
        name: str,
        stages: tuple[Stage, ...] = _ALL_STAGES,
        before: Mapping[Stage, Unsettled] | None = None,
        *,
        is_link: bool = False,
    ) -> ScannedRun | None:
        """Return the run, or None where there is no such folder; `is_link` where it might be a link."""
        try:
            run_id = parse_run_id(name)
        except Malformed as malformed:
            return _faulty(name, FaultKind.NAME, malformed.sentence)
        earlier = before or {}
        try:
            if is_link and (alias := alias_of(root, name)) is not None:
                return ScannedRun(run_id, alias_of=alias)
            with open_folder(root, name) as folder:
                now = Now(self._wall_clock_s(), self._monotonic_s())
                parts = [read_stage(folder, stage, self._limits, now, earlier.get(stage)) for stage in stages]
                passed_over = near_misses(folder) if before is None else ()
        except FaultError as fault:
            return _faulty(name, fault.kind, fault.reason)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return _faulty(name, FaultKind.UNREADABLE, f"The run folder can't be read: {error.strerror}.")
        return ScannedRun(
            run_id,
            outputs=tuple(part for part in parts if isinstance(part, ScannedOutput)),
            unsettled=tuple(part for part in parts if isinstance(part, Unsettled)),
            faults=tuple(part for part in parts if isinstance(part, Fault)),
            passed_over=passed_over,
        )


@contextlib.contextmanager
def opened_root(path: Path) -> Iterator[Folder]:
    """Open the folder of the run folders; raises UsageError with a sentence where it can't be read."""
    with contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(open_root(str(path)))
        except FileNotFoundError:
            hint = "Name the folder of your run folders with --root or RUNFERRY_ROOT."
            raise UsageError(f"The root {path} does not exist. {hint}") from None
        except OSError as error:
            raise UsageError(f"The root {path} can't be read: {error.strerror}.") from None
        yield root


def _faulty(name: str, kind: FaultKind, reason: str) -> ScannedRun:
    return ScannedRun(RunId(printable(name)), faults=(Fault(kind, reason),))


def may_be_run(root: Folder, entry: os.DirEntry[str]) -> bool:
    """Return whether an entry of the root is a folder, or a link that is not known to be a file."""
    if entry.name.startswith("."):
        return False
    if entry.is_dir(follow_symlinks=False):
        return True
    return entry.is_symlink() and not os.path.isfile(f"{root.path}/{entry.name}")  # noqa: PTH113 - the hot path has strings


def alias_of(root: Folder, name: str) -> str | None:
    """Return the name of the run that a link stands for; None where it is no link to another run of the root.

    A hidden folder is none: where a link is swapped from one to the next, only the link is the run.
    """
    if not os.path.islink(f"{root.path}/{name}"):  # noqa: PTH114 - the hot path has strings
        return None
    parent, _, target = followed(root, name).rpartition("/")
    return target if parent == root.path and not target.startswith(".") else None
