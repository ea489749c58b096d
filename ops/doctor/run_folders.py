"""Run folders: whether the root is there, and whether what is in it can be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ops.doctor.finding import Finding, good, warning, wrong
from shared.counting import counted
from shared.errors import UsageError
from shared.run_folders.near_misses import RENAME
from shared.run_folders.scanned import Fault, FaultKind
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits

#: A large tree is looked at for so long, and the rest is left to the backfill, which names every fault.
_LONGEST_LOOK_S: Final = 3.0
_MOST_NAMED: Final = 3
_CHOOSE: Final = "Set RUNFERRY_ROOT to the folder of the run folders, or give --root."
_ADVICE: Final = {
    FaultKind.UNREADABLE: "Let this user read them.",
    FaultKind.TOO_LARGE: "Raise RUNFERRY_MAX_OUTPUT_BYTES, or take out what is no output.",
    FaultKind.OUTSIDE_ROOT: "Put what the link leads to into the root.",
    FaultKind.LINK: "Mend or remove the link.",
    FaultKind.NAME: "Give it a plain name in UTF-8.",
    FaultKind.NOT_FOUND: "Mend or remove it.",
}


@dataclass(slots=True)
class LookedAt:
    """What was seen of a root: `runs` of `folders`, the bytes of their documents, and the faults by kind.

    `passed_over` are folders that are named nearly as a stage's, each with its run.
    """

    folders: int = 0
    runs: int = 0
    bytes: int = 0
    faults: dict[FaultKind, list[str]] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)

    @property
    def expected_bytes(self) -> int:
        """What all run folders hold, by what those weigh that were seen."""
        return self.bytes * self.folders // self.runs if self.runs else 0

    def add(self, run_id: str, faults: Sequence[Fault]) -> None:
        """Take in the faults of a run."""
        for fault in faults:
            self.faults.setdefault(fault.kind, []).append(f"{run_id}: {fault.reason}")


def look_at_root(
    root: Path, max_output_bytes: int, *, clock_s: Callable[[], float] = time.monotonic
) -> tuple[LookedAt, list[Finding]]:
    """Return what was seen of a root within seconds, and what it means."""
    try:
        looked = _look(root, max_output_bytes, clock_s)
    except UsageError:
        return LookedAt(), [_unreachable(root)]
    return looked, list(_judge(root.absolute(), looked))


def _look(root: Path, max_output_bytes: int, clock_s: Callable[[], float]) -> LookedAt:
    scanner = Scanner(root, Limits(settle_s=0.0, max_output_bytes=max_output_bytes))
    looked = LookedAt(folders=scanner.count())
    until_s = clock_s() + _LONGEST_LOOK_S
    for run in scanner.runs():
        looked.runs += 1
        looked.add(run.run_id, run.faults)
        looked.passed_over += [f"{run.run_id}/{name}" for name in run.passed_over]
        looked.bytes += sum(len(document.content) for output in run.outputs for document in output.documents)
        if clock_s() > until_s:
            break
    return looked


def _unreachable(root: Path) -> Finding:
    place = root.absolute()
    if not place.exists():
        return wrong("root", f"{place} does not exist", _CHOOSE)
    if not place.is_dir():
        return wrong("root", f"{place} is no folder", _CHOOSE)
    return wrong("root", f"{place} can't be read", "Let this user read it.")


def _judge(place: Path, looked: LookedAt) -> Iterator[Finding]:
    name = "root"
    if not looked.folders:
        todo = "Is it mounted, and the right one? RUNFERRY_ROOT sets it."
        yield warning(name, f"{place} holds no run folder", todo)
        return
    read = counted(looked.runs, "was", "were")
    seen = "" if looked.runs >= looked.folders else f", of which {read} read in time"
    yield good(name, f"{place} holds {counted(looked.folders, 'run folder')}{seen}")
    if not looked.faults:
        yield good("run folders", "all that were looked at can be read")
    for kind, named in looked.faults.items():
        detail = f"{len(named):,} can't be sent: {' '.join(named[:_MOST_NAMED])}{_more(named)}"
        yield wrong(f"run folders ({kind})", detail, _ADVICE[kind])
    if named := looked.passed_over:
        detail = f"{len(named):,} passed over: {', '.join(named[:_MOST_NAMED])}{_more(named)}"
        yield warning("folders of stages", detail, RENAME)


def _more(named: Sequence[str]) -> str:
    return f", and {len(named) - _MOST_NAMED:,} more" if len(named) > _MOST_NAMED else ""
