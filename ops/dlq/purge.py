"""`ops dlq purge`: to delete closed letters for good."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import asyncpg
import click
import orjson

from ops.dlq.asking import confirmed, who
from ops.dlq.database import with_database
from ops.dlq.queries import QUERIES
from ops.dlq.selection import Moment
from ops.dlq.summary import iso, letters, short_time
from shared.command import DONE, RunferryCommand, print_json, say, store_options
from shared.counting import counted
from shared.dead_letters.letter import LetterState
from shared.settings import Settings
from shared.stores import Stores

_CLOSED: Final = [state.value for state in LetterState if not state.waits]
_PORTION_LETTERS: Final = 1_000


@click.command("purge", cls=RunferryCommand)
@click.option("--older-than", type=Moment(), required=True, help="Closed before: an age (90d), or a time (UTC).")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_CLOSED),
    help="Repeatable; default: resolved and mended.",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@store_options
def purge_letters(
    older_than: datetime, states: tuple[str, ...], yes: bool, as_json: bool, settings: Settings
) -> int:
    """Delete letters that nobody waits for any more, with their documents. Nothing else ever does.

    Letters that wait are never purged. A discarded output whose letter is purged is a new dead letter when it
    comes again. The audit lines stay.

    \b
    Examples:
      ops dlq purge --older-than 90d
      ops dlq purge --older-than 2026-01-01 --state discarded --yes
    """
    chosen = list(states or (LetterState.RESOLVED.value, LetterState.MENDED.value))

    async def purge(connection: asyncpg.Connection, _: Stores) -> int | None:
        found = await connection.fetchval(QUERIES["purgeable"], chosen, older_than)
        which = f"{counted(found, 'letter')} ({', '.join(chosen)}) closed before {short_time(older_than)}"
        if found and not confirmed(f"Delete {which} for good?", yes=yes):
            return None
        purged = 0
        while portion := await _purge_portion(connection, chosen, older_than):
            purged += portion
        return purged

    purged = with_database(settings, purge)
    if purged is None:
        return DONE
    if as_json:
        print_json({"purged": purged})
    say(f"Deleted {letters(purged)}." if purged else "No closed letters are that old.")
    return DONE


async def _purge_portion(connection: asyncpg.Connection, states: list[str], before: datetime) -> int:
    async with connection.transaction():
        status: str = await connection.execute(QUERIES["purge"], states, before, _PORTION_LETTERS)
        purged = int(status.rpartition(" ")[2])
        if purged:
            subject = orjson.dumps({"states": states, "closed_before": iso(before), "letters": purged}).decode()
            await connection.execute(QUERIES["audit"], who(), "purge dead letters", "", subject)
        return purged
