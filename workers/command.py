"""The `worker` command."""

from __future__ import annotations

import asyncio
import os

import click
import structlog

from shared import __version__, queues
from shared.broker.broker import make_broker
from shared.command import RunferryCommand, store_options
from shared.database import connect
from shared.errors import RetryableError, UsageError
from shared.log import configure, report_uncaught
from shared.schema_version import check
from shared.settings import Settings
from shared.stores import Stores, resolve_stores
from workers.log_context import message_ids
from workers.process import run_process
from workers.supervisor import Supervisor

log = structlog.get_logger(__name__)


def _default(setting: str) -> object:
    return Settings.model_fields[setting].default


@click.command(
    cls=RunferryCommand,
    epilog="""\b
Examples:
  worker                                two processes on all queues
  worker --processes 4                  more of them
  worker --scheduler                    also prove on a schedule that nothing is lost
  worker --scheduler --processes 0      do that alone, beside workers elsewhere
  worker --queues live                  for what pipelines send now, and nothing else""",
)
@click.option(
    "--processes",
    type=click.IntRange(0, 64),
    help=f"Worker processes (default {_default('worker_processes')}; RUNFERRY_WORKER_PROCESSES).",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    help=f"Threads a process (default {_default('worker_threads')}; RUNFERRY_WORKER_THREADS).",
)
@click.option(
    "--queues",
    "queue_names",
    metavar="NAME,…",
    default=",".join(queues.ALL),
    show_default=True,
    help="The queues to work on.",
)
@click.option(
    "--scheduler", is_flag=True, help="Also reconcile on a schedule: a sample often, everything each night."
)
@click.version_option(__version__, prog_name="runferry")
@store_options
def main(settings: Settings, processes: int | None, threads: int | None, queue_names: str, scheduler: bool) -> int:
    """Consume the queues and write rows, until told to end (Ctrl-C or SIGTERM).

    A process that dies is replaced; what it held is taken over by the others within seconds. While PostgreSQL or
    Redis is away, workers wait and say why.
    """
    configure(settings, ids=message_ids)
    names = _queues(queue_names)
    stores = resolve_stores(settings)
    asyncio.run(_check_once(stores, settings))
    environment = {
        **os.environ,
        "DATABASE_URL": stores.database.url,
        "REDIS_URL": stores.redis_url,
        "RUNFERRY_WORKER_QUEUES": ",".join(names),
        "RUNFERRY_WORKER_THREADS": str(threads or settings.worker_threads),
    }
    count = settings.worker_processes if processes is None else processes
    if count == 0 and not scheduler:
        raise UsageError("--processes 0 runs nothing; with --scheduler it runs the scheduler alone.")
    if count == 1 and not scheduler:
        os.environ.update(environment)
        report_uncaught()
        run_process(Settings.from_environment(), names)
        return 0
    companions: list[tuple[str, ...]] = []
    if scheduler:
        companions.append(("workers.scheduler",))
        if settings.metrics_port:
            # Another role's, as the reports are: it looks at the system, not at this host.
            companions.append(("ops.command", "metrics", "--serve"))
    return Supervisor(count, environment, settings.drain_timeout, companions).run()


async def _check_once(stores: Stores, settings: Settings) -> None:
    """Refuse to start with what no waiting mends: a wrong password, an old schema. A database that is away is no
    reason: workers wait for it.
    """
    try:
        make_broker(stores.redis_url, settings, patience=settings.connect_timeout).redis_now()
        connection = await connect(stores.database, settings)
        try:
            await check(connection)
        finally:
            await connection.close()
    except RetryableError as error:
        log.warning("waiting for the stores", error=str(error))


def _queues(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in queues.ALL]
    if unknown or not names:
        raise UsageError(f"There is no queue {', '.join(unknown) or 'named'}; there are {', '.join(queues.ALL)}.")
    return names


if __name__ == "__main__":
    main()
