"""Options of `ops reconcile`, as one frozen object."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.reconciling.verdicts import Standing


@dataclass(frozen=True, slots=True)
class Sample:
    """So many runs; the same seed takes the same runs of the same tree."""

    runs: int
    seed: int


@dataclass(frozen=True, slots=True)
class ReconcileOptions:
    """What the user asked for; without `run_ids` and `sample` all runs are meant."""

    root: Path
    settle_s: float
    worker_timeout_s: float
    run_ids: tuple[str, ...] = ()
    sample: Sample | None = None
    repair: frozenset[Standing] = frozenset()
    final: bool = False
    allow: frozenset[Standing] = frozenset()
    run_workers: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every run of the root is looked at."""
        return not self.run_ids and self.sample is None

    def scope(self) -> dict[str, Any]:
        """Return which runs were meant, as the report keeps it."""
        scope: dict[str, Any] = {"root": str(self.root.absolute())}
        if self.run_ids:
            return {**scope, "run_ids": list(self.run_ids), "runs": len(self.run_ids)}
        if self.sample is not None:
            return {**scope, "sample": self.sample.runs, "seed": self.sample.seed}
        return {**scope, "all": True}

    def demands(self) -> dict[str, Any]:
        """Return how the report is to be made and judged, as it is kept while nobody waits for it."""
        return {
            "settle_s": self.settle_s,
            "worker_timeout_s": self.worker_timeout_s,
            "final": self.final,
            "allow": sorted(self.allow),
        }

    @classmethod
    def of(cls, scope: Mapping[str, Any], demands: Mapping[str, Any]) -> ReconcileOptions:
        """Return the options that a report was begun with."""
        return cls(
            root=Path(scope["root"]),
            settle_s=demands["settle_s"],
            worker_timeout_s=demands["worker_timeout_s"],
            run_ids=tuple(scope.get("run_ids", ())),
            sample=Sample(scope["sample"], scope["seed"]) if "sample" in scope else None,
            final=demands["final"],
            allow=frozenset(map(Standing, demands["allow"])),
        )

    def command(self, *more: str) -> str:
        """Return a command line that means the same runs, to be shown to the user."""
        words = ["ops", "reconcile"]
        words += [word for run_id in self.run_ids for word in ("--run-id", run_id)]
        if self.sample is not None:
            words += ["--sample", str(self.sample.runs), "--seed", str(self.sample.seed)]
        elif not self.run_ids:
            words += ["--all"]
        return shlex.join([*words, "--root", str(self.root), *more])
