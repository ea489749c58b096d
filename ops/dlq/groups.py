"""`ops dlq groups`: equal failures together."""

from __future__ import annotations

from typing import Any

import asyncpg
import click

from ops.dlq.database import with_database
from ops.dlq.queries import query
from ops.dlq.selection import Selection, selection_options
from ops.dlq.summary import iso, short_time
from ops.dlq.tables import Row, print_rows
from shared.command import DONE, RunferryCommand, print_json, say, store_options
from shared.settings import Settings
from shared.stores import Stores


@click.command("groups", cls=RunferryCommand)
@selection_options(ids=False, states=True)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Groups to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@store_options
def list_groups(selection: Selection, limit: int, as_json: bool, settings: Settings) -> int:
    """Show equal failures as groups, largest first; replay or discard one by --fingerprint.

    \b
    Examples:
      ops dlq groups
      ops dlq groups --since 1h --json
      ops dlq replay --fingerprint 3f2b8c1e --dry-run
    """

    async def read(connection: asyncpg.Connection, _: Stores) -> list[Any]:
        return list(await connection.fetch(query("groups", selection), *selection.arguments(), limit))

    groups = with_database(settings, read)
    if as_json:
        print_json([_json(group) for group in groups])
    elif groups:
        print_rows(_row(group) for group in groups)
    else:
        say("No dead letters match.")
    return DONE


def _json(group: Any) -> dict[str, Any]:
    return {
        "fingerprint": group["fingerprint"],
        "count": group["letters"],
        "first": iso(group["first"]),
        "last": iso(group["last"]),
        "reason": group["reason"],
        "stage": group["stage"],
        "example": group["example"],
        "sentence": group["sentence"],
    }


def _row(group: Any) -> Row:
    stage = f"stage {group['stage']}" if group["stage"] else "of no known stage"
    first, last = short_time(group["first"]), short_time(group["last"])
    return Row(
        fields=(
            group["fingerprint"],
            group["letters"],
            first,
            last,
            group["reason"],
            group["stage"],
            group["example"],
            group["sentence"],
        ),
        number=f"{group['letters']:,}×",
        head=f"{group['reason']}  {stage}, fingerprint {group['fingerprint']}",
        below=f"{first} to {last} UTC; for example {group['example']}: {group['sentence']}",
    )
