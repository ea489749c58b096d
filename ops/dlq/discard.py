"""`ops dlq discard`: to give letters up, with a reason."""

from __future__ import annotations

import asyncpg
import click

from ops.dlq.asking import confirmed, who
from ops.dlq.database import with_database
from ops.dlq.queries import query
from ops.dlq.selection import Selection, selection_options
from ops.dlq.streaming import check_ids, count, newest_id
from ops.dlq.summary import letters
from shared.command import DONE, RunferryCommand, print_json, say, store_options
from shared.errors import UsageError
from shared.settings import Settings
from shared.stores import Stores


@click.command("discard", cls=RunferryCommand)
@selection_options(ids=True, states=False, reason_flags=("--reason-code",))
@click.option("--reason", "why", required=True, metavar="TEXT", help="Why they are given up; kept for good.")
@click.option("--all", "everything", is_flag=True, help="All letters that wait.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@store_options
def discard_letters(
    selection: Selection, why: str, everything: bool, yes: bool, as_json: bool, settings: Settings
) -> int:
    """Give up letters that wait: nobody is reminded of them any more, and the output counts as accounted for.

    The letters stay (`list --state discarded`), and an audit line says who gave up what, when and why.

    \b
    Examples:
      ops dlq discard 12 --reason "test run of the old pipeline"
      ops dlq discard --run-id test-run-001 --reason "never mattered" --yes
    """
    if not why.strip():
        raise UsageError("--reason must say why; it is what others will read when they ask where the output is.")
    require_choice(selection, everything=everything)

    async def discard(connection: asyncpg.Connection, _: Stores) -> int | None:
        await check_ids(connection, selection)
        newest = await newest_id(connection, selection)
        found = await count(connection, selection)
        if found and not confirmed(f"Discard {letters(found)}?", yes=yes):
            return None
        # What is filed while the question is open was not asked about.
        status: str = await connection.execute(
            query("discard", selection), *selection.arguments(), who(), why.strip(), newest
        )
        return int(status.rpartition(" ")[2])

    discarded = with_database(settings, discard)
    if discarded is None:
        return DONE
    if as_json:
        print_json({"discarded": discarded})
    say(f"Discarded {letters(discarded)}." if discarded else "No waiting dead letters match.")
    return DONE


def require_choice(selection: Selection, *, everything: bool) -> None:
    """Raise UsageError where neither letters nor a filter are named, and `--all` is not said either."""
    if selection.is_everything and not everything:
        raise UsageError("Which ones? Name letters by id or by a filter (--reason, --run-id, …), or say --all.")
    if everything and not selection.is_everything:
        raise UsageError("--all means every letter that waits; leave out --all, or the ids and filters.")
