"""The `ops status` command."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Final

import click
from rich.console import Console
from rich.live import Live

from ops.status.looking import Onlooker
from ops.status.overview import Overview
from ops.status.screen import screen
from shared.command import DIFFERENCE, DONE, RunferryCommand, print_json, store_options
from shared.errors import UsageError
from shared.settings import Settings
from shared.stores import resolve_stores

_EVERY_S: Final = 1.0


@click.command(
    "status",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops status
  ops status --watch
  ops status --json

\b
Exit status: 0 both stores answered, 1 one of them did not.""",
)
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def status(settings: Settings, watch: bool, as_json: bool) -> int:
    """Show the migration at a glance: phase, last proof, queues, workers, dead letters, rows."""
    if watch and as_json:
        raise UsageError("--watch is for people; take --json without it, as often as you like.")
    return asyncio.run(_show(Onlooker(resolve_stores(settings), settings), watch=watch, as_json=as_json))


async def _show(onlooker: Onlooker, *, watch: bool, as_json: bool) -> int:
    console = Console(highlight=False)
    with closing(onlooker):
        overview = await onlooker.look()
        if as_json:
            print_json(overview.to_json())
        elif watch:
            await _watch(onlooker, overview, console)
        else:
            _print(overview, console)
        return _status(overview)


def _print(overview: Overview, console: Console) -> None:
    with console.capture() as captured:
        console.print(screen(overview))
    # The screen fills its width with blanks, which a file or a pipe is not interested in.
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


async def _watch(onlooker: Onlooker, overview: Overview, console: Console) -> None:
    with Live(screen(overview), console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            live.update(screen(overview), refresh=True)
            await asyncio.sleep(_EVERY_S)
            overview = await onlooker.look()


def _status(overview: Overview) -> int:
    return DIFFERENCE if overview.faults else DONE
