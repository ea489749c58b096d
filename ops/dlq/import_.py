"""`ops dlq import`: letters from JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final

import asyncpg
import click

from ops.dlq.database import with_database
from ops.dlq.lines import MAX_LINE_BYTES, LetterLine, parse_line, row_of
from ops.dlq.queries import QUERIES
from ops.dlq.summary import letters
from shared.command import DONE, RunferryCommand, print_json, say, store_options
from shared.counting import counted
from shared.errors import UsageError
from shared.settings import Settings
from shared.stores import Stores

_MAX_PORTION_LETTERS: Final = 200
_MAX_PORTION_BYTES: Final = 8 * 1024 * 1024


@click.command("import", cls=RunferryCommand)
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@store_options
def import_letters(file: IO[bytes], as_json: bool, settings: Settings) -> int:
    """Read letters that `export` wrote; `-` reads standard input.

    A letter that is there already (same run, stage and content) stays as it is. A line that can't be read ends the
    import with its number; what stands before it is imported, and importing the file again is harmless.

    \b
    Examples:
      ops dlq import dead-letters.jsonl
      ssh other-host ops dlq export --state all | ops dlq import -
    """

    async def read(connection: asyncpg.Connection, _: Stores) -> tuple[int, int]:
        imported = lines = 0
        for portion in _portions(file):
            async with connection.transaction():
                await connection.fetchval(QUERIES["reserve_ids"], max(line.id for line in portion))
                for line in portion:
                    status: str = await connection.execute(QUERIES["import"], *row_of(line))
                    imported += int(status.rpartition(" ")[2])
                    lines += 1
        return imported, lines - imported

    imported, already_there = with_database(settings, read)
    if as_json:
        print_json({"imported": imported, "already_there": already_there})
    say(f"Imported {letters(imported)}; {counted(already_there, 'was', 'were')} there already.")
    return DONE


def _portions(file: IO[bytes]) -> Iterator[list[LetterLine]]:
    """Yield the lines in bounded portions; the last one comes before the error of a line that can't be read."""
    portion: list[LetterLine] = []
    portion_bytes = 0
    for number, text in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
        if not text.strip():
            continue
        try:
            line = parse_line(text)
        except ValueError as error:
            if portion:
                yield portion
            raise UsageError(f"Line {number} is no dead letter: {error}.") from None
        portion.append(line)
        portion_bytes += len(text)
        if len(portion) >= _MAX_PORTION_LETTERS or portion_bytes >= _MAX_PORTION_BYTES:
            yield portion
            portion, portion_bytes = [], 0
    if portion:
        yield portion
