"""`ops dlq list`: letters in short, newest first."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import click

from ops.dlq.database import with_database
from ops.dlq.queries import query
from ops.dlq.selection import Selection, selection_options
from ops.dlq.summary import short_time, summary_json
from ops.dlq.tables import Row, print_rows
from shared.command import DONE, RunferryCommand, print_json, say, store_options
from shared.settings import Settings
from shared.stores import Stores

_GREATEST_ID: Final = 2**63 - 1


@click.command("list", cls=RunferryCommand)
@selection_options(ids=False, states=True)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Letters on a page.")
@click.option(
    "--before", "before_id", metavar="ID", type=int, help="The page of letters that are older than this."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@store_options
def list_letters(
    selection: Selection, limit: int, before_id: int | None, as_json: bool, settings: Settings
) -> int:
    """List the outputs that died, newest first.

    \b
    Examples:
      ops dlq list
      ops dlq list --reason not_json --since 24h
      ops dlq list --run-id run-1761684318140-2849 --state all --json
    """

    async def read(connection: asyncpg.Connection, _: Stores) -> list[Any]:
        text = query("page", selection)
        below = _GREATEST_ID if before_id is None else before_id
        return list(await connection.fetch(text, *selection.arguments(), below, limit + 1))

    rows = with_database(settings, read)
    page = rows[:limit]
    if as_json:
        print_json([summary_json(row) for row in page])
        return DONE
    if not page:
        say("No dead letters match.")
        return DONE
    print_rows(_row(row) for row in page)
    if len(rows) > limit:
        say(f"There are more: add --before {page[-1]['id']}. `ops dlq groups` shows them all in groups.")
    return DONE


def _row(row: Any) -> Row:
    stage = f"stage {row['stage']}" if row["stage"] else "of no known stage"
    state = "" if row["state"] == "open" else f" ({row['state']})"
    replays = f", replayed {row['replays']:,}×" if row["replays"] else ""
    origin = row["origin"] or "of unknown origin"
    return Row(
        fields=(
            row["id"],
            short_time(row["died_at"]),
            row["reason"],
            row["run_id"],
            row["stage"],
            row["origin"],
            row["seen"],
            row["replays"],
            row["state"],
            row["sentence"],
        ),
        number=str(row["id"]),
        head=f"{row['reason']}{state}  {row['run_id'] or '(no run id)'} {stage}",
        below=f"{short_time(row['died_at'])} UTC, {origin}, seen {row['seen']:,}×{replays}: {row['sentence']}",
    )
