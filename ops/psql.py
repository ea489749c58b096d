"""`ops psql`: PostgreSQL's own shell on the database that every command uses."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ops.backup.libpq import libpq_address
from ops.backup.programs import can_encrypt, installed
from shared.command import RunferryCommand, store_options
from shared.database_url import DatabaseAddress
from shared.errors import UsageError
from shared.settings import Settings
from shared.stores import resolve_stores


@click.command(
    cls=RunferryCommand,
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  ops psql
  ops psql -c 'SELECT id, status FROM "Run" LIMIT 5'
  ops psql --csv -f question.sql > answer.csv

\b
Exit status: psql's own; 2 where it could not begin.""",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PSQL'S OPTION]…")
@store_options
def psql(settings: Settings, arguments: tuple[str, ...]) -> None:
    """Open psql on the rows, or run one statement of yours.

    A DATABASE_URL as Prisma writes it works here, and its password is in no process list.
    """
    if settings.database_url is None:
        address = resolve_stores(settings).database
    else:
        address = DatabaseAddress.parse(settings.database_url.get_secret_value())
    program = _newest(address)
    target = libpq_address(address, settings)
    environment = dict(target.environment)
    if address.schema != "public":
        schema = address.schema.replace('"', '""').replace("\\", "\\\\").replace(" ", "\\ ")
        environment["PGOPTIONS"] = f'-csearch_path="{schema}"'
    sys.stdout.flush()
    os.execve(program, [str(program), f"--dbname={target.uri}", *arguments], environment)  # noqa: S606 - the user's shell


def _newest(address: DatabaseAddress) -> Path:
    """Return the newest psql: it knows every older server."""
    for program in reversed(installed("psql")):
        if not address.needs_tls or can_encrypt(program.path):
            return program.path
    raise UsageError(
        "There is no psql here that could connect: install PostgreSQL's client programs "
        "(Debian: postgresql-client), or look at the rows with any other client."
    )
