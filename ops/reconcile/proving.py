"""Proving: the steps of one report, from what is listed to what it comes to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import asyncpg

from ops.reconcile.choosing import chosen_runs
from ops.reconcile.elsewhere import look_elsewhere
from ops.reconcile.folding import Folder
from ops.reconcile.options import ReconcileOptions
from ops.reconcile.patience import Patience
from ops.reconcile.portions import Cutter
from ops.reconcile.progress import ReconcileProgress
from ops.reconcile.repairing import Repairer
from ops.reconcile.report import Ending
from ops.reconcile.survey import Survey
from ops.reconcile.tally import Tally, named_in
from ops.reconcile.without_files import name_rows_without_files
from producers.spill import SpilledList
from producers.worker_processes import WorkerProcesses
from shared import queues
from shared.broker.broker import RunferryBroker
from shared.counting import counted, word_for
from shared.errors import UsageError
from shared.ids import RunId, Stage
from shared.reconciling.verdicts import Standing, is_fault
from shared.run_folders.listing import ListedRun, list_named, run_names
from shared.settings import Settings

#: What is still being written is looked at again so often, each time after it may have settled.
_SETTLING_ROUNDS: Final = 3
_RUNS_LISTED_AT_ONCE: Final = 100


class Proving:
    """The steps of one report; what they find goes into the tally."""

    def __init__(
        self,
        options: ReconcileOptions,
        settings: Settings,
        connection: asyncpg.Connection,
        broker: RunferryBroker,
        tally: Tally,
        progress: ReconcileProgress,
        workers: WorkerProcesses | None,
        report_id: int,
        *,
        first_slice: int = 1,
    ) -> None:
        self._options = options
        self._settings = settings
        self._connection = connection
        self._broker = broker
        self._tally = tally
        self._progress = progress
        self._workers = workers
        self._report_id = report_id
        self._started_s = time.monotonic()
        self.repair_sent = 0
        self.folder = Folder(options.root, settings.max_output_bytes, tally)
        self.cutter = Cutter(report_id, options.root, options.settle_s, first=first_slice)
        self._survey = Survey(
            connection, broker, report_id, self.cutter, self.folder, self._patience(queues.RECONCILE)
        )

    async def prove(self) -> Ending:
        """Ask the workers about everything, and wait; raises UsageError where nothing can be proved."""
        counting = asyncio.create_task(self._count())
        try:
            await self._survey.ask(
                chosen_runs(self._options, self._settings.max_output_bytes), self._progress.update
            )
        finally:
            counting.cancel()
        return await self.conclude()

    async def conclude(self) -> Ending:
        """Go on from where all that was listed is answered: what is left to be asked again, repaired, and named."""
        options, tally = self._options, self._tally
        check_found(options, tally.listed)
        await self._await_settling()
        if options.repair:
            await self._repair()
        elsewhere = await look_elsewhere(self._connection, self._broker, options) if options.final else None
        if options.is_whole:
            await name_rows_without_files(self._connection, options.root, tally)
        return Ending(self._report_id, time.monotonic() - self._started_s, self.repair_sent, elsewhere)

    async def _count(self) -> None:
        """Find out how many runs there are, while the first are looked at already."""
        if self._options.is_whole:
            self._progress.expect(await asyncio.to_thread(lambda: sum(1 for _ in run_names(self._options.root))))

    async def _await_settling(self) -> None:
        """Ask again about what is still being written, once it may have settled."""
        for _ in range(_SETTLING_ROUNDS):
            unsettled = self._tally.take_back(Standing.UNSETTLED)
            if unsettled is None:
                return
            with closing(unsettled):
                self._progress.note(
                    f"{counted(len(unsettled), 'output is', 'outputs are')} still being written; looking again "
                    f"when {word_for(len(unsettled), 'it', 'they')} settled."
                )
                await asyncio.sleep(self._options.settle_s)
                await self._ask_again(unsettled)

    async def _repair(self) -> None:
        """Publish what shall be repaired, wait for it, and ask about it again."""
        repairer = Repairer(
            self._connection,
            self._broker,
            self._options.root,
            self._settings,
            self._patience(queues.BACKFILL),
            self._options.worker_timeout_s,
        )
        sent: list[SpilledList] = []
        try:
            for standing in sorted(self._options.repair, key=list(Standing).index):
                if standing in self._tally.named:
                    await repairer.send(standing, self._tally.named[standing])
                    self.repair_sent = repairer.outputs
            if repairer.outputs:
                self._progress.note(
                    f"Sent {counted(repairer.outputs, 'output')} for repair; waiting until "
                    f"{word_for(repairer.outputs, 'it is', 'they are')} written."
                )
            await repairer.until_handled()
            for standing in self._options.repair:
                items = self._tally.take_back(standing)
                if items is not None:
                    sent.append(items)
                    await self._ask_again(items, repaired=standing)
        finally:
            for items in sent:
                items.close()
        await self._await_settling()

    async def _ask_again(self, items: SpilledList, *, repaired: Standing | None = None) -> None:
        def took(_run_id: RunId, _stage: Stage, standing: Standing) -> None:
            if repaired is not None and standing is not repaired and not is_fault(standing):
                self._tally.repaired += 1

        runs = self._tally.runs
        await self._survey.ask(self._listed(items), self._progress.update, took)
        self._tally.runs = runs

    def _listed(self, items: SpilledList) -> Iterator[ListedRun]:
        """Yield the outputs of a list as they are on disk now; what is gone by now is no output any more."""
        wanted: dict[RunId, set[int]] = {}
        for named in named_in(items):
            if named.run_id not in wanted and len(wanted) == _RUNS_LISTED_AT_ONCE:
                yield from self._relisted(wanted)
                wanted = {}
            wanted.setdefault(named.run_id, set()).add(named.stage)
        yield from self._relisted(wanted)

    def _relisted(self, wanted: dict[RunId, set[int]]) -> Iterator[ListedRun]:
        for run in list_named(self._options.root, wanted, self._settings.max_output_bytes):
            stages = {stage: signature for stage, signature in run.stages.items() if stage in wanted[run.run_id]}
            faults = tuple(
                fault for fault in run.faults if fault.stage is None or fault.stage in wanted[run.run_id]
            )
            yield ListedRun(run.run_id, stages, faults, run.size_bytes)

    def _patience(self, queue: str) -> Patience:
        return Patience(self._broker, queue, self._options.worker_timeout_s, self._workers, self._progress.note)


def check_found(options: ReconcileOptions, listed: int) -> None:
    """Raise UsageError where nothing was listed: seeing nothing proves nothing."""
    if listed:
        return
    root = options.root.absolute()
    if options.run_ids:
        raise UsageError(f"None of these runs has an output in {root}.")
    raise UsageError(
        f"No stage output was found in {root}: is it the folder of the run folders, and is it mounted?"
    )
