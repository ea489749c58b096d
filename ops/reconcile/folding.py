"""Folding: what was listed and what was answered go into the tally, each from its own side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from ops.reconcile.portions import Portion
from ops.reconcile.tally import Tally
from shared.errors import UsageError
from shared.ids import RunId, Stage
from shared.reconciling.slices import Answer, Slice
from shared.reconciling.verdicts import MEANINGS, Standing, Weight
from shared.run_folders.listing import list_named

#: Hears each verdict.
Took = Callable[[RunId, Stage, Standing], None]


class Folder:
    """Folds one report into its tally."""

    def __init__(self, root: Path, max_output_bytes: int, tally: Tally) -> None:
        self._root = root.absolute()
        self._max_output_bytes = max_output_bytes
        self._tally = tally
        self.done_runs = 0

    def listed(self, portion: Portion) -> None:
        """Count what was listed, and name what can't be read: nobody is asked about that."""
        self._tally.runs += portion.runs
        self._tally.listed += portion.outputs
        self._tally.answers[Standing.UNREADABLE] += len(portion.faults)
        for fault in portion.faults:
            self._tally.name(fault)
        self.done_runs += portion.runs - len(portion.asked.runs)

    async def fold(self, asked: Slice, worker: str, answer: Answer, took: Took | None = None) -> None:
        """Count the answer to a slice; `took` hears of what is asked again.

        Raises UsageError where the worker can't judge, or sees another tree.
        """
        if answer.error is not None:
            raise UsageError(f"The worker {worker} could not judge: {answer.error}")
        if answer.seen_otherwise:
            await asyncio.to_thread(self._look_again, asked, worker, answer)
        for run_id, stages in asked.runs.items():
            words = answer.standings.get(run_id, {})
            for stage in stages:
                standing = words.get(stage)
                if standing is not None:
                    self._tally.answers[standing] += 1
                    if took is not None:
                        took(run_id, stage, standing)
        for named in answer.named:
            # A run that is asked about again has been named with what stands beside the equation.
            if took is None or MEANINGS[named.verdict].weight is not Weight.ASIDE:
                self._tally.name(named)
        self.done_runs += len(asked.runs)

    def _look_again(self, asked: Slice, worker: str, answer: Answer) -> None:
        """Find out who is right where a worker saw something else: did the file change, or is its tree another one?"""
        run_ids = dict.fromkeys(run_id for run_id, _, _ in answer.seen_otherwise)
        now = {run.run_id: run.stages for run in list_named(self._root, run_ids, self._max_output_bytes)}
        for run_id, stage, theirs in answer.seen_otherwise:
            ours = now.get(run_id, {}).get(stage)
            if theirs == "" and ours is None:
                self._tally.listed -= 1  # it was removed since it was listed
            elif ours == asked.runs[run_id][stage]:
                what = "does not see" if theirs == "" else "sees other files in"
                raise UsageError(
                    f"The worker {worker} {what} {run_id}/stage{stage.value} below {self._root}: "
                    "it looks at another root, an empty or old mount, or may not read it."
                )
