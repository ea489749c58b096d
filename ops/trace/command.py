"""The `ops trace` command."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import click

from ops.dlq.database import with_database
from ops.trace.story import Event, Records, story
from shared.broker.broker import make_broker
from shared.command import DONE, RunferryCommand, print_json, store_options
from shared.errors import Malformed, UsageError
from shared.ids import RunId, parse_run_id
from shared.printable import printable
from shared.run_folders.scanned import ScannedRun
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits
from shared.settings import Settings
from shared.sql import load_queries
from shared.stores import Stores
from workers.reconciling.held import read_held
from workers.reconciling.observer import Observer

_QUERIES: Final = load_queries("ops.trace")
_WHAT_WIDTH: Final = 24


@dataclass(frozen=True, slots=True)
class _Trace:
    events: list[Event]
    standings: list[dict[str, Any]]


@click.command(
    "trace",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops trace run-1761684318140-2849
  ops trace run-1761684318140-2849 --json""",
)
@click.argument("run_id")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="The folder of the run folders (default data/test-outputs; RUNFERRY_ROOT).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def trace(settings: Settings, run_id: str, root: Path | None, as_json: bool) -> int:
    """Tell the story of one run, in order of time, and where each of its outputs stands now."""
    try:
        run = parse_run_id(run_id)
    except Malformed as malformed:
        raise UsageError(malformed.sentence) from None
    folder = root or settings.root

    async def read(connection: asyncpg.Connection, stores: Stores) -> _Trace:
        return await _trace(connection, stores, settings, folder, run)

    found = with_database(settings, read)
    if not found.events:
        raise UsageError(f"Nothing is known of {run_id!r}: neither in the database nor in {folder}.")
    if as_json:
        print_json({"run_id": run_id, "events": [e.to_json() for e in found.events], "now": found.standings})
    else:
        _print(found)
    return DONE


async def _trace(
    connection: asyncpg.Connection, stores: Stores, settings: Settings, root: Path, run_id: RunId
) -> _Trace:
    records = Records(
        run=await connection.fetchrow(_QUERIES["run"], run_id),
        deliveries=await connection.fetch(_QUERIES["deliveries"], run_id),
        applied=await connection.fetch(_QUERIES["applied"], run_id),
        letters=await connection.fetch(_QUERIES["letters"], run_id),
        changes=await connection.fetch(_QUERIES["changes"], run_id),
        named=await connection.fetch(_QUERIES["named"], run_id),
    )
    on_disk = await asyncio.to_thread(_scan, settings, root, run_id)
    standings = [] if on_disk is None else await _standings(connection, stores, settings, root, run_id)
    return _Trace(story(on_disk, records), standings)


def _scan(settings: Settings, root: Path, run_id: RunId) -> ScannedRun | None:
    if not (root / run_id).is_dir():
        return None
    return next(Scanner(root, Limits(0.0, settings.max_output_bytes)).named([run_id]))


async def _standings(
    connection: asyncpg.Connection, stores: Stores, settings: Settings, root: Path, run_id: RunId
) -> list[dict[str, Any]]:
    """Judge the run's outputs as a worker would, now."""
    broker = make_broker(stores.redis_url, settings, patience=settings.connect_timeout)
    try:
        observer = Observer(root, settings, broker, partial(read_held, connection))
        found = (await observer.observe([run_id]))[run_id]
    finally:
        broker.close()
    return [
        {
            "stage": stage.value,
            "verdict": judgement.standing.value,
            "fields": list(judgement.fields),
            "detail": judgement.detail,
            "letter_id": judgement.letter_id,
        }
        for stage, (_, judgement) in sorted(found.items())
    ]


def _print(found: _Trace) -> None:
    day = None
    for event in found.events:
        if event.at.date() != day:
            day = event.at.date()
            click.secho(f"{day:%Y-%m-%d}", bold=True)
        stage = f"stage {event.stage}" if event.stage else ""
        who = f" [{event.who}]" if event.who else ""
        text = printable(f"{event.detail}{who}")
        click.echo(
            f"  {event.at:%H:%M:%S.%f}"[:-3] + f"  {stage:<7}  {event.what:<{_WHAT_WIDTH}}  {text}".rstrip()
        )
    if found.standings:
        click.secho("Now", bold=True)
    for one in found.standings:
        letter = "" if one["letter_id"] is None else f" #{one['letter_id']}"
        words = "; ".join(part for part in (", ".join(one["fields"]), one["detail"]) if part)
        click.echo(
            f"  {'':<12}  stage {one['stage']}  {one['verdict'] + letter:<{_WHAT_WIDTH}}  {printable(words)}".rstrip()
        )
