"""Tally: what a backfill found, sent, and heard of, counted in constant memory.

Two threads add to it: the one that reads and publishes, and the one that hears of deliveries. Each count has one
writer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from producers.database import Delivered, OutputKey
from producers.packing import Parcel, Slip
from producers.spill import SpilledList
from shared.ids import RunId
from shared.run_folders.scanned import Fault, ScannedRun, Unsettled
from shared.verdicts import Verdict

#: The words of `runferry.delivery` that are looked at here; all others are counted as they come.
APPLIED: Final = Verdict.APPLIED.value
DUPLICATE: Final = Verdict.DUPLICATE.value
SUPERSEDED: Final = Verdict.SUPERSEDED.value
CONFLICT: Final = Verdict.CONFLICT.value
DEAD_LETTERED: Final = Verdict.DEAD_LETTERED.value
#: A message of which no verdict on this output is told.
UNKNOWN: Final = "unknown"

#: Ordinary ends that nobody needs to look at one by one.
_UNNAMED: Final = (APPLIED, DUPLICATE, SUPERSEDED)


@dataclass(slots=True)
class Tally:
    """Counts of runs, outputs and verdicts, and the lists of what is named.

    While nothing was interrupted: outputs = published + skipped + unsettled (in a dry run `mapped` + unsettled).
    """

    runs: int = 0
    outputs: int = 0
    unsettled: int = 0
    skipped: int = 0
    published: int = 0
    published_messages: int = 0
    handled_messages: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    mapped: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    runs_without_outputs: SpilledList = field(default_factory=SpilledList)
    passed_over: SpilledList = field(default_factory=SpilledList)
    unreadable: SpilledList = field(default_factory=SpilledList)
    unsettled_outputs: SpilledList = field(default_factory=SpilledList)
    aliases: SpilledList = field(default_factory=SpilledList)
    gaps: SpilledList = field(default_factory=SpilledList)
    dead_letters: SpilledList = field(default_factory=SpilledList)
    named: SpilledList = field(default_factory=SpilledList)
    malformed: SpilledList = field(default_factory=SpilledList)

    def scanned(self, run: ScannedRun) -> None:
        """Count a run that was read for the first time; what is unsettled is counted as such until it settles."""
        if run.alias_of is not None:
            self.aliases.append({"run_id": run.run_id, "alias_of": run.alias_of})
            return
        self.runs += 1
        self.outputs += len(run.outputs) + len(run.unsettled)
        self.unsettled += len(run.unsettled)
        if not (run.outputs or run.unsettled or run.faults):
            self.runs_without_outputs.append({"run_id": run.run_id})
        for name in run.passed_over:
            self.passed_over.append({"run_id": run.run_id, "folder": name})
        self.faults(run.run_id, run.faults)

    def reread(self, run: ScannedRun, were_unsettled: int) -> None:
        """Count what became of a run's unsettled outputs when they were read again."""
        self.unsettled += len(run.unsettled) - were_unsettled
        self.outputs += len(run.outputs) + len(run.unsettled) - were_unsettled
        self.faults(run.run_id, run.faults)

    def faults(self, run_id: RunId, faults: tuple[Fault, ...]) -> None:
        """Name what can't be read."""
        for fault in faults:
            named: dict[str, Any] = {"run_id": run_id, "reason": fault.reason, "kind": fault.kind.value}
            if fault.stage is not None:
                named["stage"] = int(fault.stage)
            self.unreadable.append(named)

    def left_out(self, run_id: RunId, unsettled: tuple[Unsettled, ...]) -> None:
        """Name what stays unsettled."""
        for part in unsettled:
            self.unsettled_outputs.append({"run_id": run_id, "stage": int(part.stage), "reason": part.reason})

    def sent(self, parcels: Sequence[Parcel]) -> None:
        """Count parcels that Redis has taken."""
        self.published_messages += len(parcels)
        self.published += sum(len(parcel.slip.hashes) for parcel in parcels)

    def heard(self, slip: Slip, delivered: Delivered) -> list[OutputKey]:
        """Count one handled message, once; return its outputs that were dead-lettered."""
        self.handled_messages += 1
        dead: list[OutputKey] = []
        for stage, sha256 in slip.hashes:
            verdict = delivered.verdicts.get(str(int(stage)), UNKNOWN)
            self.verdicts[verdict] += 1
            if verdict == DEAD_LETTERED:
                dead.append((slip.run_id, stage, sha256))
            elif verdict not in _UNNAMED:
                self.named.append({"run_id": slip.run_id, "stage": int(stage), "verdict": verdict})
            for sentence in delivered.gaps.get(str(int(stage)), ()):
                self.gaps.append({"run_id": slip.run_id, "stage": int(stage), "gap": sentence})
        return dead

    def close(self) -> None:
        """Give back the files of the lists."""
        for items in (
            self.runs_without_outputs,
            self.passed_over,
            self.unreadable,
            self.unsettled_outputs,
            self.aliases,
            self.gaps,
            self.dead_letters,
            self.named,
            self.malformed,
        ):
            items.close()
