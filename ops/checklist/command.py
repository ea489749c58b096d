"""The `ops checklist` command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg
import click
import orjson

from ops.checklist.api import check_url
from ops.checklist.checks import QUERIES, Checker
from ops.checklist.points import TITLES, Point, PointName, PointState, is_green, with_attestations
from ops.dlq.asking import who
from ops.dlq.database import with_database
from shared.command import DIFFERENCE, DONE, RunferryGroup, print_json, store_options
from shared.errors import UsageError
from shared.printable import printable
from shared.settings import Settings
from shared.stores import Stores

#: A person's word is void after so long: what was true then may not be any more.
ATTESTED_FOR: Final = timedelta(days=30)
_SIGNS: Final = {
    PointState.PASSED: ("✓", "green"),
    PointState.ATTESTED: ("✓", "cyan"),
    PointState.FAILED: ("✗", "red"),
    PointState.NOT_CHECKABLE: ("?", "yellow"),
}


@click.group("checklist", cls=RunferryGroup, invoke_without_command=True)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="The folder of the run folders (default data/test-outputs; RUNFERRY_ROOT).",
)
@click.option("--api-url", metavar="URL", help="The app's route of one run, as https://…/api/runs/{run_id}.")
@click.option(
    "--api-header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Sent to the API; may be repeated."
)
@click.option("--seed", type=int, help="Chooses the random runs; by default others each time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
@click.pass_context
def checklist(
    context: click.Context,
    settings: Settings,
    root: Path | None,
    api_url: str | None,
    headers: tuple[str, ...],
    seed: int | None,
    as_json: bool,
) -> int:
    """Check every point of the migration's validation checklist, and keep the result with its evidence.

    Green is: every point passed, or was attested in the last 30 days where a machine can't see it from here.
    Moving on to db-first needs a green one.

    \b
    Examples:
      ops checklist
      ops checklist --api-url 'https://app.example/api/runs/{run_id}' --api-header 'Cookie: …'
      ops checklist attest backups_restorable --note "nightly on the host, restored to staging on Monday"
    """
    if context.invoked_subcommand is not None:
        return DONE
    url = None if api_url is None else check_url(api_url)
    sent = tuple(_header(text) for text in headers)
    chosen_by = time.time_ns() if seed is None else seed

    async def check(connection: asyncpg.Connection, stores: Stores) -> list[Point]:
        checker = Checker(connection, stores, settings, root or settings.root, chosen_by, Path.cwd(), url, sent)
        points = with_attestations(await checker.check_all(), await _attested(connection))
        text = orjson.dumps([point.to_json() for point in points]).decode()
        await connection.execute(QUERIES["keep_result"], is_green(points), text)
        return points

    points = with_database(settings, check)
    if as_json:
        print_json({"passed": is_green(points), "points": [point.to_json() for point in points]})
    else:
        _print(points)
    return DONE if is_green(points) else DIFFERENCE


@checklist.command()
@click.argument("point", type=click.Choice([name.value for name in PointName]))
@click.option("--note", required=True, metavar="TEXT", help="What you saw, and where.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def attest(settings: Settings, point: str, note: str, as_json: bool) -> int:
    """Give your word for a POINT that no machine can see from here. It is kept with your name, for 30 days."""
    if not note.strip():
        raise UsageError("--note must say what you saw.")
    by = who()

    async def keep(connection: asyncpg.Connection, _: Stores) -> None:
        await connection.execute(QUERIES["attest"], by, point, note.strip())

    with_database(settings, keep)
    if as_json:
        print_json({"point": point, "who": by, "note": note.strip(), "holds_days": ATTESTED_FOR.days})
        return DONE
    click.echo(
        f"Attested: {TITLES[PointName(point)]}. It holds for {ATTESTED_FOR.days} days where it can't be checked."
    )
    return DONE


async def _attested(connection: asyncpg.Connection) -> Mapping[str, str]:
    rows = await connection.fetch(QUERIES["attestations"], ATTESTED_FOR)
    return {row["point"]: f"{row['who']} on {row['at']:%Y-%m-%d}: {row['note']}" for row in rows}


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError("--api-header is written as 'Name: value'.")
    return name.strip(), value.strip()


def _print(points: list[Point]) -> None:
    for point in points:
        sign, colour = _SIGNS[point.state]
        click.echo(f"{click.style(sign, fg=colour)} {TITLES[point.name]}")
        click.echo(f"    {point.state.value.replace('_', ' ')}: {printable(point.detail)}")
    click.echo()
    if is_green(points):
        click.secho("GREEN: every point passed or is attested.", fg="green")
        return
    click.secho("NOT GREEN.", fg="red")
    unseen = [point.name for point in points if point.state is PointState.NOT_CHECKABLE]
    if PointName.REHEARSED in unseen:
        click.echo("Rehearse the way there and back with: ops rehearse")
    if seen_by_people := [name.value for name in unseen if name is not PointName.REHEARSED]:
        click.echo('Attest what you have seen yourself with: ops checklist attest POINT --note "…"')
        click.echo(f"POINT is one of: {', '.join(seen_by_people)}")
