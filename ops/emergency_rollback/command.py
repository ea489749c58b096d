"""The `ops emergency-rollback` command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ops.backup.progress import StepProgress
from ops.dlq.asking import interruptible
from ops.emergency_rollback.emergency import (
    EmergencyOptions,
    Emptied,
    NotInFiles,
    run_emergency_rollback,
)
from ops.emergency_rollback.losses import Losses
from ops.rollback.command import BACKUPS
from shared.command import DIFFERENCE, DONE, RunferryCommand, print_json, say, store_options
from shared.counting import counted, word_for
from shared.errors import UsageError
from shared.settings import Settings
from shared.stores import Stores

_YES = "YES"


@click.command(
    "emergency-rollback",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops emergency-rollback                                   shows what will be lost, and asks
  ops emergency-rollback --keep-users
  ops emergency-rollback --confirm runferry --json         for scripts: the database's name, once more

\b
To take away only what the migration created: ops rollback --all-migrated.
Exit status: 0 done, and a run was read from files; 1 done, but that could not be shown, or not every process heard of
it; 2 nothing was emptied.""",
)
@click.option("--confirm", metavar="DATABASE", help="Don't ask: this is the name of the database that is emptied.")
@click.option("--keep-users", is_flag=True, help='Spare the table "User".')
@click.option(
    "--include-web-app-tables", is_flag=True, help="Empty tables that the web app made, whatever is in them."
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="The folder of the run folders (default data/test-outputs; RUNFERRY_ROOT).",
)
@click.option(
    "--backup-to",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the backup goes that is made first (default: backups in RUNFERRY_HOME).",
)
@click.option("--no-backup", is_flag=True, help="Make no backup first: you have one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def emergency_rollback(
    settings: Settings,
    *,
    confirm: str | None,
    keep_users: bool,
    include_web_app_tables: bool,
    root: Path | None,
    backup_to: Path | None,
    no_backup: bool,
    as_json: bool,
) -> int:
    """Go back to files at once: stop publishing, save, empty the web app's tables, take runferry away.

    What is left is what `prisma migrate reset` leaves: five empty tables, and Prisma's bookkeeping in agreement.
    It ends with the reading of a run from its files.
    """
    if backup_to is not None and no_backup:
        raise UsageError("--backup-to or --no-backup: one of them.")
    if root is not None:
        settings = settings.model_copy(update={"root": root})
    options = EmergencyOptions(
        keep_users,
        include_web_app_tables,
        None if no_backup else backup_to or settings.home.absolute() / BACKUPS,
    )

    def confirmed(losses: Losses, not_in_files: NotInFiles, stores: Stores) -> bool:
        for line in (*_losses(losses, stores), *_not_in_files(not_in_files, settings)):
            say(line)
        if confirm is not None:
            if confirm != losses.database:
                raise UsageError(f'--confirm {confirm}: the database is "{losses.database}". Nothing was changed.')
            return True
        if not sys.stdin.isatty():
            raise UsageError(
                f"There is no terminal to ask at: add --confirm {losses.database}. Nothing was changed."
            )
        try:
            with interruptible():
                typed = click.prompt(f"Type {_YES} to go on", default="no", show_default=False, err=True)
        except click.Abort:
            click.echo(err=True)
            return False
        return bool(typed == _YES)

    # Without a bar: a question is asked in between.
    done = asyncio.run(run_emergency_rollback(options, settings, StepProgress(), confirmed))
    if done is None:
        say("Nothing was changed.")
        return DIFFERENCE
    if as_json:
        print_json(_json(done))
    else:
        for line in _described(done):
            click.echo(line)
    heard = done.stopped.redis is None and not done.stopped.answers.silent
    return DONE if done.file_path.fault is None and heard else DIFFERENCE


def _losses(losses: Losses, stores: Stores) -> Iterator[str]:
    yield f'This empties the database "{losses.database}" on {stores.database.place} ({losses.bytes:,} bytes):'
    for table, count in losses.rows.items():
        yield f"{count:>11,}  {word_for(count, 'row')} of {table}"
    if losses.has_runferry:
        outputs = word_for(losses.ledger, "output")
        yield f"{losses.ledger:>11,}  {outputs} in runferry's ledger, with all else in its schema"
    if losses.letters:
        yield f"{losses.letters:>11,}  {word_for(losses.letters, 'dead letter that is', 'dead letters that are')} open"


def _not_in_files(found: NotInFiles, settings: Settings) -> Iterator[str]:
    """Say what going back to files would not bring back, and how to save it."""
    in_rows = found.in_rows
    if not in_rows.looked:
        yield f"The root {settings.root} is not here, so it can't be told which outputs no file has."
    if in_rows.outputs:
        yield (
            f"{in_rows.outputs:>11,}  {word_for(in_rows.outputs, 'output')} of {counted(in_rows.runs, 'run')} "
            f"(such as {in_rows.example}) NOT IN FILES, or older there: first ops export --all --to {settings.root}"
        )
    if found.in_outbox:
        yield (
            f"{found.in_outbox:>11,}  {word_for(found.in_outbox, 'output waits', 'outputs wait')} UNSENT in "
            f"{settings.home.absolute() / 'outbox'}: first producer outbox flush, then export"
        )


def _json(done: Emptied) -> dict[str, Any]:
    return {
        "database": done.losses.database,
        "lost": done.losses.rows,
        "dead_letters": done.losses.letters,
        "phase": done.stopped.change.phase.value,
        "silent": [process.name for process in done.stopped.answers.silent],
        "redis": done.stopped.redis or "told",
        "messages_waiting": done.stopped.waiting,
        "backup": None if done.backup is None else str(done.backup.folder),
        "dropped": list(done.reverted.dropped),
        "kept": list(done.reverted.kept),
        "file_path": asdict(done.file_path),
    }


def _described(done: Emptied) -> Iterator[str]:
    stopped = done.stopped
    following = counted(len(stopped.answers.acknowledged), "live process follows", "live processes follow")
    yield f"The phase is files-only; {following} it."
    if stopped.answers.silent:
        yield f"NO ANSWER from {', '.join(process.name for process in stopped.answers.silent)}: stop them."
    if stopped.redis is not None:
        yield f"REDIS COULD NOT BE TOLD: {stopped.redis} Set RUNFERRY_PHASE=files-only for every process."
    yield f"Emptied {', '.join(done.losses.emptied) or 'nothing'}."
    for name in done.reverted.dropped:
        yield f"Took away {name}."
    for name in done.reverted.kept:
        yield f"Kept {name}."
    if stopped.waiting:
        yield (
            f"{counted(stopped.waiting, 'message stays', 'messages stay')} in Redis, held: after `ops schema apply`, "
            f"`ops resume` writes {word_for(stopped.waiting, 'it', 'them')}; or flush that Redis database."
        )
    if done.backup is not None:
        yield f"The way back from here: ops restore {done.backup.folder} --overwrite {done.losses.database}"
    path = done.file_path
    if path.fault is None:
        read = counted(path.documents, f"document of {path.run_id} was", f"documents of {path.run_id} were")
        yield f"The file path works: {read} read through the stage store."
    else:
        yield f"THE FILE PATH COULD NOT BE SHOWN TO WORK: {path.fault}"
