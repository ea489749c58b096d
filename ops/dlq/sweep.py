"""`ops dlq sweep`: files what lies in Dramatiq's dead queues, as workers do by themselves."""

from __future__ import annotations

import asyncpg
import click

from ops.dlq.database import with_database
from ops.dlq.summary import letters
from shared import queues
from shared.broker.broker import make_broker
from shared.command import DONE, RunferryCommand, print_json, say, store_options
from shared.dead_letters.sweeping import sweep
from shared.settings import Settings
from shared.stores import Stores


@click.command("sweep", cls=RunferryCommand)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@store_options
def sweep_letters(as_json: bool, settings: Settings) -> int:
    """File what Dramatiq's dead queues hold (undecodable bytes, crash loops) as dead letters, now.

    \b
    Example:
      ops dlq sweep
    """

    async def run(connection: asyncpg.Connection, stores: Stores) -> int:
        broker = make_broker(stores.redis_url, settings)
        try:
            return await sweep(connection, broker, queues.ALL)
        finally:
            broker.close()

    filed = with_database(settings, run)
    if as_json:
        print_json({"filed": filed})
    say(f"Filed {letters(filed)}." if filed else "There was nothing to file.")
    return DONE
