"""The `ops metrics` command."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import click
from prometheus_client import Metric as Family
from prometheus_client import generate_latest

from ops.metrics.serving import patient, serve
from ops.metrics.system import families
from ops.status.looking import Onlooker
from ops.status.overview import Overview
from shared.command import DIFFERENCE, DONE, RunferryCommand, store_options
from shared.errors import UsageError
from shared.log import configure, report_uncaught
from shared.metrics.endpoint import registry_of
from shared.metrics.textfile import textfile_option, write_textfile
from shared.settings import Settings
from shared.stores import Stores, resolve_stores

#: Where `--serve` listens unless RUNFERRY_METRICS_PORT or --port says otherwise.
DEFAULT_PORT: Final = 9464


@click.command(
    "metrics",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops metrics                                  what Prometheus would be told now
  ops metrics --serve --port 9464              be scraped, until told to end
  ops metrics --to /var/lib/node_exporter/runferry.prom

\b
Exit status: 0 both stores answered, 1 one of them did not.""",
)
@click.option("--serve", "serving", is_flag=True, help="Serve them over HTTP, looking at each scrape.")
@click.option("--host", metavar="ADDRESS", help="Bound to; RUNFERRY_METRICS_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65_535), help=f"RUNFERRY_METRICS_PORT, else {DEFAULT_PORT}.")
@textfile_option
@store_options
def metrics(settings: Settings, *, serving: bool, host: str | None, port: int | None, file: Path | None) -> int:
    """Tell Prometheus of the whole system: queues, workers, dead letters, reports, phase, backups.

    Each worker process has an endpoint of its own for what it does: RUNFERRY_METRICS_PORT, see
    docs/observability.md. `worker --scheduler` runs `ops metrics --serve` by itself where that is set.
    """
    if serving and file is not None:
        raise UsageError("--serve answers scrapes, --to writes a file: take one of them.")
    if not serving and (host is not None or port is not None):
        raise UsageError("--host and --port go with --serve.")
    stores = resolve_stores(settings)
    if serving:
        configure(settings)
        report_uncaught()
        parent = os.environ.get("RUNFERRY_WORKER_PARENT")
        asyncio.run(
            serve(
                stores,
                settings,
                host or settings.metrics_host,
                port or settings.metrics_port or DEFAULT_PORT,
                int(parent) if parent else None,
            )
        )
        return DONE
    overview, text = asyncio.run(_look(stores, patient(settings)))
    if file is None:
        click.echo(text, nl=False)
    else:
        write_textfile(file, text)
    return DIFFERENCE if overview.faults else DONE


async def _look(stores: Stores, settings: Settings) -> tuple[Overview, bytes]:
    with closing(Onlooker(stores, settings)) as onlooker:
        began_s = time.monotonic()
        overview = await onlooker.look()
        return overview, generate_latest(registry_of(_Seen(overview, time.monotonic() - began_s)))


class _Seen:
    def __init__(self, overview: Overview, look_s: float) -> None:
        self._overview = overview
        self._look_s = look_s

    def collect(self) -> Iterator[Family]:
        return families(self._overview, self._look_s)
