"""Portions: the listing of a root, cut into what is asked and counted at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from shared.ids import RunId, Stage
from shared.reconciling.slices import Named, Slice
from shared.reconciling.verdicts import Standing
from shared.run_folders.listing import ListedRun

_SLICE_RUNS: Final = 100
#: A worker holds the documents of a slice, and their rows, in memory.
_SLICE_BYTES: Final = 8 * 1024 * 1024
#: Faults alone make no slice; of a root that is full of them, so many runs are counted at once.
_PORTION_RUNS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Portion:
    """Some runs as they were listed: the slice that is asked, what can't be read, and how many there are of all."""

    asked: Slice
    faults: tuple[Named, ...]
    runs: int
    outputs: int

    def to_json(self) -> dict[str, Any]:
        """Return the portion as JSON values."""
        return {
            "asked": self.asked.to_wire(),
            "faults": [fault.to_json() for fault in self.faults],
            "runs": self.runs,
            "outputs": self.outputs,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Portion:
        """Return what `to_json` gave; raises ValueError for one of another version."""
        faults = tuple(Named.from_json(fault) for fault in value["faults"])
        return cls(Slice.from_wire(value["asked"]), faults, value["runs"], value["outputs"])


class Cutter:
    """Cuts listings into portions, whose slices are numbered through from `first` on."""

    def __init__(self, report_id: int, root: Path, settle_s: float, *, first: int = 1) -> None:
        self._report_id = report_id
        self._root = str(root.absolute())
        self._settle_s = settle_s
        self._numbers = count(first)

    def portions(self, listing: Iterable[ListedRun]) -> Iterator[Portion]:
        """Yield everything that is listed."""
        asked: dict[RunId, Mapping[Stage, str]] = {}
        faults: list[Named] = []
        runs = outputs = size_bytes = 0
        for run in listing:
            runs += 1
            outputs += len(run.stages) + len(run.faults)
            faults += [
                Named(run.run_id, int(fault.stage or 0), Standing.UNREADABLE, detail=fault.reason)
                for fault in run.faults
            ]
            if run.stages:
                asked[run.run_id] = run.stages
                size_bytes += run.size_bytes
            if len(asked) == _SLICE_RUNS or size_bytes >= _SLICE_BYTES or runs == _PORTION_RUNS:
                yield self._portion(asked, faults, runs, outputs)
                asked, faults = {}, []
                runs = outputs = size_bytes = 0
        if runs:
            yield self._portion(asked, faults, runs, outputs)

    def _portion(
        self, asked: Mapping[RunId, Mapping[Stage, str]], faults: list[Named], runs: int, outputs: int
    ) -> Portion:
        question = Slice(self._report_id, next(self._numbers), self._root, self._settle_s, asked)
        return Portion(question, tuple(faults), runs, outputs)
