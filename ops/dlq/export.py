"""`ops dlq export`: letters as JSON Lines."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

import asyncpg
import click

from ops.dlq.database import with_database
from ops.dlq.lines import line_of
from ops.dlq.selection import Selection, selection_options
from ops.dlq.streaming import check_ids, portions, read_whole
from ops.dlq.summary import letters
from shared.command import DONE, RunferryCommand, say, store_options
from shared.errors import UsageError
from shared.settings import Settings
from shared.stores import Stores


@click.command("export", cls=RunferryCommand)
@selection_options(ids=True, states=True)
@click.option(
    "--to", "path", type=click.Path(dir_okay=False, path_type=Path), help="A file; default: standard output."
)
@store_options
def export_letters(selection: Selection, path: Path | None, settings: Settings) -> int:
    """Write letters with everything as JSON Lines, one a line; `import` reads them back without a loss.

    Without ids or filters: all that wait. Nothing is taken away.

    \b
    Examples:
      ops dlq export --state all --to dead-letters.jsonl
      ops dlq export 12 13
      ops dlq export --reason not_json | jq -r .sentence
    """

    async def write(connection: asyncpg.Connection, stream: IO[bytes]) -> int:
        await check_ids(connection, selection)
        written = 0
        async for portion in portions(connection, selection):
            for row in await read_whole(connection, portion):
                stream.write(line_of(row) + b"\n")
                written += 1
        stream.flush()
        return written

    async def export(connection: asyncpg.Connection, _: Stores) -> int:
        if path is None:
            return await write(connection, sys.stdout.buffer)
        # Beside its place and then renamed: a killed export never looks like a whole one.
        partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
        try:
            with partial.open("wb") as stream:
                written = await write(connection, stream)
            partial.replace(path)
        except OSError as error:
            raise UsageError(f"{path} can't be written: {error.strerror}.") from error
        finally:
            partial.unlink(missing_ok=True)
        return written

    written = with_database(settings, export)
    say(f"Exported {letters(written)}{'' if path is None else f' to {path}'}.")
    return DONE
