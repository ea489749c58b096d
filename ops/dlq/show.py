"""`ops dlq show`: one letter with all of its evidence."""

from __future__ import annotations

import shutil
import sys
from typing import Final

import asyncpg
import click

from ops.dlq.contents import documents_in, output_in
from ops.dlq.database import with_database
from ops.dlq.report import letter_json, letter_report
from shared.command import DONE, RunferryCommand, print_json, store_options
from shared.dead_letters.letter import FiledLetter
from shared.dead_letters.reading import read_letter
from shared.errors import UsageError
from shared.settings import Settings
from shared.stores import Stores

_WIDTH_ELSEWHERE: Final = 120


@click.command("show", cls=RunferryCommand)
@click.argument("letter_id", metavar="ID", type=click.IntRange(min=1))
@click.option("--document", "document_name", metavar="NAME", help="Only this document, as it is, on stdout.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@store_options
def show_letter(letter_id: int, document_name: str | None, as_json: bool, settings: Settings) -> int:
    """Show a dead letter: why, where in the document, who, when, and what was done about it.

    \b
    Examples:
      ops dlq show 12
      ops dlq show 12 --json
      ops dlq show 12 --document opportunity-3.md > opportunity-3.md
    """

    async def read(connection: asyncpg.Connection, _: Stores) -> FiledLetter:
        return await letter_or_fail(connection, letter_id)

    filed = with_database(settings, read)
    if document_name is not None:
        sys.stdout.buffer.write(_document(filed, document_name))
        sys.stdout.buffer.flush()
    elif as_json:
        print_json(letter_json(filed))
    else:
        width = shutil.get_terminal_size((_WIDTH_ELSEWHERE, 24)).columns
        for line in letter_report(filed, width):
            click.echo(line)
    return DONE


async def letter_or_fail(connection: asyncpg.Connection, letter_id: int) -> FiledLetter:
    """Return a letter; raises UsageError where there is none of this id."""
    filed = await read_letter(connection, letter_id)
    if filed is None:
        raise UsageError(f"There is no dead letter {letter_id}; `ops dlq list --state all` shows which there are.")
    return filed


def _document(filed: FiledLetter, name: str) -> bytes:
    output = output_in(filed.letter)
    documents = () if output is None else documents_in(output)
    for document in documents:
        if document.name == name:
            return document.content
    names = ", ".join(document.name for document in documents) or "none"
    raise UsageError(f"Dead letter {filed.id} has no document {name!r}; it has: {names}.")
