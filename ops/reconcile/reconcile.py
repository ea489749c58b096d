"""Reconcile: one report from its beginning to its end, or to where it is left. The composition root."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Final

import asyncpg
import click

from ops.reconcile.keeping import ReportKept, terminable
from ops.reconcile.options import ReconcileOptions
from ops.reconcile.progress import ReconcileProgress
from ops.reconcile.proving import Proving
from ops.reconcile.publishing import Published, publish
from ops.reconcile.report import Ending, exit_status, text, write_json
from ops.reconcile.tally import Tally
from producers.worker_processes import WorkerProcesses
from shared.broker.broker import RunferryBroker, make_broker
from shared.collecting import collect_rarely
from shared.command import DONE, print_json, print_lines
from shared.connection_errors import DATABASE_LOST, explain_database
from shared.database import connect
from shared.printable import briefly
from shared.schema_version import check
from shared.settings import Settings
from shared.stores import Stores, resolve_stores

_STOP_WORKERS_GRACE_S: Final = 5.0


def run_reconcile(options: ReconcileOptions, settings: Settings, *, as_json: bool) -> int:
    """Make one report, print it, and return the exit status."""
    collect_rarely()
    stores = resolve_stores(settings)
    with closing(Tally()) as tally:
        # A bar that still ran would be drawn once more below the report.
        with ReconcileProgress() as progress, terminable():
            ending = asyncio.run(_report(options, settings, stores, tally, progress))
        if as_json:
            write_json(sys.stdout.buffer, options, tally, ending)
        else:
            print_lines(text(options, tally, ending))
        return exit_status(options, tally, ending)


def run_publish(options: ReconcileOptions, settings: Settings, *, as_json: bool) -> int:
    """Ask the workers, say where the report will be, and return the exit status."""
    collect_rarely()
    stores = resolve_stores(settings)
    with ReconcileProgress() as progress, terminable():
        published = asyncio.run(_publish(options, settings, stores, progress))
    if as_json:
        print_json(published.to_json(options))
    else:
        for line in published.text():
            click.echo(line)
    return DONE


async def _report(
    options: ReconcileOptions, settings: Settings, stores: Stores, tally: Tally, progress: ReconcileProgress
) -> Ending:
    async with opened(settings, stores) as (connection, broker):
        with _own_workers(options, settings, stores, progress) as workers:
            async with ReportKept.begin(connection, options, progress) as report:
                proving = Proving(options, settings, connection, broker, tally, progress, workers, report.id)
                ending = await proving.prove()
                await report.end(options, tally, ending)
                return ending


async def _publish(
    options: ReconcileOptions, settings: Settings, stores: Stores, progress: ReconcileProgress
) -> Published:
    async with (
        opened(settings, stores) as (connection, broker),
        ReportKept.begin(connection, options, progress) as report,
    ):
        published = await publish(options, settings, connection, broker, progress, report.id)
        await report.leave(options, published.slices, published.last_slice)
        return published


@asynccontextmanager
async def opened(settings: Settings, stores: Stores) -> AsyncIterator[tuple[asyncpg.Connection, RunferryBroker]]:
    """Connect to both stores; a lost connection is told in a sentence."""
    broker = make_broker(stores.redis_url, settings)
    connection = await connect(stores.database, settings)
    try:
        await check(connection)
        await asyncio.to_thread(broker.depths)
        yield connection, broker
    except DATABASE_LOST as error:
        raise explain_database(error, stores.database) from error
    finally:
        # After Ctrl-C or a lost connection a polite goodbye may never be answered.
        connection.terminate()
        broker.close()


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
    progress.note(f"Workers run with this command; their log is {briefly(log)}")
    try:
        yield workers
    finally:
        workers.stop(settings.drain_timeout.total_seconds() + _STOP_WORKERS_GRACE_S)
