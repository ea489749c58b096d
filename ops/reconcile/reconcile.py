"""Reconcile: one report from its beginning to its end. The composition root."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Final

import asyncpg
import click
import orjson

from ops.reconcile.choosing import chosen_runs
from ops.reconcile.options import ReconcileOptions
from ops.reconcile.patience import Patience
from ops.reconcile.progress import ReconcileProgress
from ops.reconcile.queries import QUERIES
from ops.reconcile.repairing import Repairer
from ops.reconcile.report import Ending, exit_status, kept, text, write_json
from ops.reconcile.survey import Survey
from ops.reconcile.tally import Tally, named_in
from ops.reconcile.without_files import name_rows_without_files
from producers.spill import SpilledList
from producers.worker_processes import WorkerProcesses
from shared import queues
from shared.broker.broker import RunferryBroker, make_broker
from shared.connection_errors import DATABASE_LOST, explain_database
from shared.database import connect
from shared.errors import UsageError
from shared.ids import RunId, Stage
from shared.reconciling.verdicts import Standing, is_fault
from shared.run_folders.listing import ListedRun, list_named, run_names
from shared.schema_version import check
from shared.settings import Settings
from shared.stores import Stores, resolve_stores

#: What is still being written is looked at again so often, each time after it may have settled.
_SETTLING_ROUNDS: Final = 3
_STOP_WORKERS_GRACE_S: Final = 5.0
RETENTION: Final = timedelta(days=90)


def run_reconcile(options: ReconcileOptions, settings: Settings, *, as_json: bool) -> int:
    """Make one report, print it, and return the exit status."""
    stores = resolve_stores(settings)
    with closing(Tally()) as tally, ReconcileProgress() as progress:
        ending = asyncio.run(_report(options, settings, stores, tally, progress))
        if as_json:
            write_json(sys.stdout.buffer, options, tally, ending)
        else:
            for line in text(options, tally, ending):
                click.echo(line)
        return exit_status(options, tally)


async def _report(
    options: ReconcileOptions, settings: Settings, stores: Stores, tally: Tally, progress: ReconcileProgress
) -> Ending:
    chosen_runs(options, settings.max_output_bytes)
    broker = make_broker(stores.redis_url, settings)
    connection = await connect(stores.database, settings)
    try:
        await check(connection)
        await asyncio.to_thread(broker.depths)
        with _own_workers(options, settings, stores, progress) as workers:
            return await _Report(options, settings, connection, broker, tally, progress, workers).run()
    except DATABASE_LOST as error:
        raise explain_database(error, stores.database) from error
    finally:
        # After Ctrl-C or a lost connection a polite goodbye may never be answered.
        connection.terminate()
        broker.close()


class _Report:
    """The steps of one report."""

    def __init__(
        self,
        options: ReconcileOptions,
        settings: Settings,
        connection: asyncpg.Connection,
        broker: RunferryBroker,
        tally: Tally,
        progress: ReconcileProgress,
        workers: WorkerProcesses | None,
    ) -> None:
        self._options = options
        self._settings = settings
        self._connection = connection
        self._broker = broker
        self._tally = tally
        self._progress = progress
        self._workers = workers
        self._started_s = time.monotonic()

    async def run(self) -> Ending:
        """Make the report and keep it; raises UsageError where nothing can be proved."""
        options = self._options
        await self._connection.execute(QUERIES["forget_reports"], RETENTION)
        report_id = await self._connection.fetchval(
            QUERIES["begin_report"], orjson.dumps(options.scope()).decode()
        )
        try:
            ending = await self._prove(report_id)
        except BaseException as error:
            # Also on Ctrl-C: a report that nobody ends would be answered for ever.
            if not self._connection.is_closed():
                failure = orjson.dumps({"error": str(error) or type(error).__name__}).decode()
                await asyncio.shield(self._connection.execute(QUERIES["end_report"], report_id, None, failure))
            raise
        report = kept(options, self._tally, ending).decode()
        await self._connection.execute(QUERIES["end_report"], report_id, self._tally.is_balanced, report)
        return ending

    async def _prove(self, report_id: int) -> Ending:
        options, tally = self._options, self._tally
        survey = Survey(
            self._connection,
            self._broker,
            report_id,
            options.root,
            options.settle_s,
            self._settings.max_output_bytes,
            tally,
            self._patience(queues.RECONCILE),
        )
        counting = asyncio.create_task(self._count())
        try:
            await survey.ask(chosen_runs(options, self._settings.max_output_bytes), self._progress.update)
        finally:
            counting.cancel()
        self._check_found()
        await self._await_settling(survey)
        sent = await self._repair(survey) if options.repair else 0
        if options.is_whole:
            await name_rows_without_files(self._connection, options.root, tally)
        return Ending(report_id, time.monotonic() - self._started_s, sent)

    async def _count(self) -> None:
        """Find out how many runs there are, while the first are looked at already."""
        if self._options.is_whole:
            self._progress.expect(await asyncio.to_thread(lambda: sum(1 for _ in run_names(self._options.root))))

    def _check_found(self) -> None:
        """Seeing nothing proves nothing."""
        if self._tally.listed:
            return
        root = self._options.root.absolute()
        if self._options.run_ids:
            raise UsageError(f"None of these runs has an output in {root}.")
        raise UsageError(
            f"No stage output was found in {root}: is it the folder of the run folders, and is it mounted?"
        )

    async def _await_settling(self, survey: Survey) -> None:
        """Ask again about what is still being written, once it may have settled."""
        for _ in range(_SETTLING_ROUNDS):
            unsettled = self._tally.take_back(Standing.UNSETTLED)
            if unsettled is None:
                return
            with closing(unsettled):
                self._progress.note(
                    f"{len(unsettled):,} outputs are still being written; looking again when they settled."
                )
                await asyncio.sleep(self._options.settle_s)
                await self._ask_again(survey, unsettled)

    async def _repair(self, survey: Survey) -> int:
        """Publish what shall be repaired, wait for it, and ask about it again; return how many outputs were sent."""
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
            if repairer.outputs:
                self._progress.note(
                    f"Sent {repairer.outputs:,} outputs for repair; waiting until they are written."
                )
            await repairer.until_handled()
            for standing in self._options.repair:
                items = self._tally.take_back(standing)
                if items is not None:
                    sent.append(items)
                    await self._ask_again(survey, items, repaired=standing)
        finally:
            for items in sent:
                items.close()
        await self._await_settling(survey)
        return repairer.outputs

    async def _ask_again(self, survey: Survey, items: SpilledList, *, repaired: Standing | None = None) -> None:
        def took(_run_id: RunId, _stage: Stage, standing: Standing) -> None:
            if repaired is not None and standing is not repaired and not is_fault(standing):
                self._tally.repaired += 1

        runs = self._tally.runs
        await survey.ask(self._listed(items), self._progress.update, took)
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


_RUNS_LISTED_AT_ONCE: Final = 100


@contextmanager
def _own_workers(
    options: ReconcileOptions, settings: Settings, stores: Stores, progress: ReconcileProgress
) -> Iterator[WorkerProcesses | None]:
    """Run worker processes for the length of the block, where some are asked for."""
    if options.run_workers is None:
        yield None
        return
    log = settings.home.absolute() / "logs" / "reconcile.log"
    environment = {
        "DATABASE_URL": stores.database.url,
        "REDIS_URL": stores.redis_url,
        "RUNFERRY_ROOT": str(options.root.absolute()),
    }
    workers = WorkerProcesses.start(options.run_workers, log, environment)
    progress.note(f"Workers run with this command; their log is {log}")
    try:
        yield workers
    finally:
        workers.stop(settings.drain_timeout.total_seconds() + _STOP_WORKERS_GRACE_S)
