"""`ops schema`: make, look at, check and take away what runferry needs in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

import asyncpg
import click

from ops.schema.application import Applied, apply
from ops.schema.prisma_folder import KeysInApp, write_keys_migration
from ops.schema.reversion import Losses, describe_open, losses, revert
from ops.schema.roles import ROLES, grant_roles, roles_script
from ops.schema.status import read_status
from ops.schema.verification import verify
from shared.command import DIFFERENCE, DONE, RunferryGroup, print_json, say, store_options
from shared.counting import counted
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.errors import UsageError
from shared.settings import Settings
from shared.stores import resolve_stores

#: Making a key on a large table takes longer than the statements of the workers may.
_STATEMENT_TIMEOUT: Final = timedelta(hours=12)

Result = TypeVar("Result")


@click.group(cls=RunferryGroup)
def schema() -> None:
    """Make, look at, check and take away what runferry needs in the database.

    \b
    Examples:
      ops schema status
      ops schema apply
      ops schema prisma --to ../web/prisma
      ops schema verify --json
    """


@schema.command("apply")
@store_options
@click.option("--here", is_flag=True, help="Add the unique keys to tables that the web app made.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def apply_command(settings: Settings, *, here: bool, as_json: bool) -> int:
    """Bring the database to what this runferry needs; again and at once is harmless.

    In an empty database it makes the web app's five tables, recorded as Prisma records them, and runferry's
    schema. Where the web app made its tables it only adds runferry's schema, once they have their two unique keys.

    \b
    Examples:
      ops schema apply
      ops schema apply --here
    """
    applied = _with_database(settings, lambda connection: apply(connection, here=here))
    if as_json:
        print_json({**asdict(applied), "changed": applied.changed, "todo": _todo(applied)})
        return DONE
    for name in applied.prisma:
        click.echo(f"Deployed {name}, recorded in Prisma's bookkeeping.")
    for table in applied.keys:
        click.echo(f"Added the unique key of {table}.")
    for name in applied.runferry:
        click.echo(f"Applied {name}.")
    place = f'The database "{applied.database}"'
    if applied.changed:
        click.echo(f"{place} is ready: runferry's schema is at version {applied.version}.")
    else:
        click.echo(f"{place} has all already, at version {applied.version}; nothing was changed.")
    for line in _todo(applied):
        say(line)
    return DONE


@schema.command("status")
@store_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status_command(settings: Settings, *, as_json: bool) -> int:
    """Show what is there and what is missing; 0 whatever it finds (see verify).

    \b
    Examples:
      ops schema status
      ops schema status --json
    """
    status = _with_database(settings, read_status)
    if as_json:
        print_json(status.document())
    else:
        click.echo("\n".join(status.lines()))
    return DONE


@schema.command("verify")
@store_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify_command(settings: Settings, *, as_json: bool) -> int:
    """Compare the live structure with the expected one, column by column; 1 where it differs.

    \b
    Examples:
      ops schema verify
      ops schema verify --json
    """
    found = _with_database(settings, verify)
    if as_json:
        print_json(
            {
                "database": found.database,
                "equal": found.equal,
                "differences": [{"schema": name, **asdict(difference)} for name, difference in found.differences],
            }
        )
    elif found.equal:
        click.echo(f'The database "{found.database}" is as expected: the five tables and the schema runferry.')
    else:
        for name, difference in found.differences:
            click.echo(f"{name}.{difference}")
        differences = counted(len(found.differences), "difference")
        say(f'{differences} in the database "{found.database}"; see ops schema status.')
    return DONE if found.equal else DIFFERENCE


@schema.command("prisma")
@click.option(
    "--to",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The web app's Prisma folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def prisma_command(*, to: Path, as_json: bool) -> int:
    """Write the migration with the two unique keys into the web app's Prisma folder.

    It comes after the migrations that are there, and is written once. What schema.prisma must say is printed.

    \b
    Examples:
      ops schema prisma --to ../web/prisma
    """
    keys = write_keys_migration(to, datetime.now(UTC))
    if as_json:
        lines = [{"model": model, "remove": old, "add": new} for model, old, new in keys.schema_lines]
        print_json(
            {
                "migration": keys.name,
                "path": keys.path and str(keys.path),
                "written": keys.written,
                "schema_lines": lines,
            }
        )
        return DONE
    for line in _instructions(keys):
        click.echo(line)
    return DONE


@schema.command("roles")
@store_options
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def roles_command(settings: Settings, *, as_sql: bool, as_json: bool) -> int:
    """Make three roles with the least rights of workers, producers and operators; after every apply.

    They are runferry_worker, runferry_producer and runferry_ops. Nobody logs in as one of them: users are made
    members. The rights that they have here are set anew; others, and those of other roles, are left alone.

    \b
    Examples:
      ops schema roles
      ops schema roles --sql > roles.sql
    """
    if as_sql:
        click.echo(roles_script(), nl=False)
        return DONE
    database = _with_database(settings, grant_roles)
    if as_json:
        print_json({"database": database, "roles": list(ROLES)})
        return DONE
    click.echo(
        f'In the database "{database}" {", ".join(ROLES[:-1])} and {ROLES[-1]} have what they need, no more.'
    )
    say("Make users of them: CREATE ROLE ann LOGIN PASSWORD '…' IN ROLE runferry_worker; see docs/security.md.")
    return DONE


@schema.command("revert")
@store_options
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--even-with-dead-letters", is_flag=True, help="Together with --yes: lose open dead letters, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def revert_command(settings: Settings, *, yes: bool, even_with_dead_letters: bool, as_json: bool) -> int:
    """Take away what apply added; no row of the web app is touched.

    The schema runferry goes with all that is in it. Unique keys go only where `apply --here` added them, the web
    app's tables only where apply made them and they are empty. Stop the workers first.

    \b
    Examples:
      ops schema revert
      ops schema revert --yes --json
    """
    if even_with_dead_letters and not yes:
        raise UsageError("--even-with-dead-letters needs --yes beside it: nobody is asked.")
    lost = _with_database(settings, losses)
    if not lost.made:
        say(f'In the database "{lost.database}" there is nothing that `ops schema apply` made.')
        if as_json:
            print_json({"database": lost.database, "dropped": [], "kept": [], "lost": {}})
        return DONE
    say(_described(lost))
    if not yes and not click.confirm("Take it away?", err=True):
        say("Nothing was changed.")
        return DIFFERENCE
    reverted = _with_database(
        settings, lambda connection: revert(connection, even_with_dead_letters=even_with_dead_letters)
    )
    if as_json:
        print_json({**asdict(reverted), "lost": lost.rows})
        return DONE
    for name in reverted.dropped:
        click.echo(f"Took away {name}.")
    for name in reverted.kept:
        click.echo(f"Kept {name}.")
    return DONE


def _with_database(settings: Settings, work: Callable[[asyncpg.Connection], Awaitable[Result]]) -> Result:
    """Run `work` on a connection; the schema needs no Redis, so REDIS_URL may be missing here."""
    if settings.database_url is not None:
        address = DatabaseAddress.parse(settings.database_url.get_secret_value())
    else:
        address = resolve_stores(settings).database
    patient = settings.model_copy(update={"statement_timeout": _STATEMENT_TIMEOUT})

    async def run() -> Result:
        connection = await connect(address, patient)
        try:
            return await work(connection)
        finally:
            await connection.close(timeout=patient.connect_timeout.total_seconds())

    return asyncio.run(run())


def _todo(applied: Applied) -> list[str]:
    """Return what the web app must do after `--here`, so that its own migrations agree with the database."""
    if not applied.keys:
        return []
    return [
        "The web app must know of the keys before its next deployment:",
        "  1. `ops schema prisma --to APP/prisma` writes the migration; change schema.prisma as it says.",
        "  2. On this database: `npx prisma migrate resolve --applied NAME`, with the name that it prints.",
    ]


def _instructions(keys: KeysInApp) -> list[str]:
    if keys.name is None:
        lines = ["The web app keeps no migrations (it uses `prisma db push`), so none was written."]
    elif keys.written:
        lines = [f"Wrote {keys.path}/migration.sql."]
    else:
        lines = [f"{keys.path} adds the keys already; nothing was written."]
    if keys.schema_lines:
        lines.append("Change schema.prisma:")
        for model, old, new in keys.schema_lines:
            lines.append(f"  in model {model} put {new} in the place of {old}, or add it where that is not there")
    else:
        lines.append("schema.prisma has the lines already.")
    if keys.name is None:
        lines.append("Then `npx prisma db push`, and `ops schema apply`.")
    else:
        lines.append("Then `npx prisma migrate deploy`, and `ops schema apply`.")
        lines.append(f"After `ops schema apply --here`: `npx prisma migrate resolve --applied {keys.name}`.")
    return lines


def _described(lost: Losses) -> str:
    counts = ", ".join(f"{count} in {name}" for name, count in lost.rows.items() if count)
    text = f'Taking runferry\'s schema out of the database "{lost.database}" loses {counts or "no rows"}.'
    if lost.open_dead_letters:
        text += f" {describe_open(lost.open_dead_letters)}."
    return text
