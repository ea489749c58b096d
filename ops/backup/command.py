"""The `ops backup` command."""

from __future__ import annotations

import asyncio
from datetime import UTC
from pathlib import Path
from typing import Any

import click

from ops.backup.backup import BackupOptions, Made, make_backup
from ops.backup.folder import list_backups, remove_old
from ops.backup.libpq import database_address
from ops.backup.manifest import Manifest, read_manifest
from ops.backup.progress import StepProgress
from ops.backup.queries import QUERIES
from ops.backup.verification import Verified, verify
from ops.dlq.tables import Row, print_rows
from shared import embedded
from shared.command import DIFFERENCE, DONE, RunferryCommand, print_json, say, store_options
from shared.connection_errors import DATABASE_ERRORS
from shared.counting import counted
from shared.database import connect
from shared.errors import RunferryError, UsageError
from shared.printable import printable
from shared.settings import Settings

_MOST_SHOWN = 10
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_STEP = 1000


@click.command(
    "backup",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops backup --to /backups                   database, run folders and outbox, as of this moment
  ops backup --to /backups --keep 7          and remove this database's backups beyond the newest seven
  ops backup --to /backups --no-files        without the run folders
  ops backup --to /backups --list            the whole backups in a folder
  ops backup --to /backups --verify          hash every part of each of them anew

\b
Exit status: 0 the backup is whole; 1 it is whole, but documents could not be read or never held still, or (--verify)
a backup is damaged; 2 there is no backup.""",
)
@click.option(
    "--to",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where backups are.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="The folder of the run folders (default data/test-outputs; RUNFERRY_ROOT).",
)
@click.option("--no-files", is_flag=True, help="Leave the run folders out.")
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N", help="Remove this database's older backups but N."
)
@click.option("--list", "listing", is_flag=True, help="List the whole backups, newest first; make none.")
@click.option("--verify", "verifying", is_flag=True, help="Hash every part of each backup anew; make none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def backup(
    settings: Settings,
    *,
    to: Path,
    root: Path | None,
    no_files: bool,
    keep: int | None,
    listing: bool,
    verifying: bool,
    as_json: bool,
) -> int:
    """Save the database, the run folders and the outbox of this host; workers and pipelines may go on.

    The dump is one snapshot, and the manifest says how far the ledger was in it. A backup appears under its name
    only when it is whole.
    """
    if listing and verifying:
        raise UsageError("--list or --verify: one of them.")
    if (listing or verifying) and (keep is not None or no_files or root is not None):
        raise UsageError("--list and --verify make no backup: leave out --keep, --root and --no-files.")
    if no_files and root is not None:
        raise UsageError("--root or --no-files: one of them.")
    if listing:
        return _list(to, as_json=as_json)
    if verifying:
        return _verify(to, settings, as_json=as_json)
    options = BackupOptions(to, None if no_files else root or settings.root)
    with StepProgress() as progress:
        made = asyncio.run(make_backup(options, settings, progress))
        removed = remove_old(to, made.manifest, keep) if keep is not None else []
    if as_json:
        print_json({**summary(made), "removed": [str(folder) for folder in removed]})
    else:
        for line in described(made):
            click.echo(line)
        for folder in removed:
            click.echo(f"Removed {folder}.")
    return DIFFERENCE if made.incomplete else DONE


def summary(made: Made) -> dict[str, Any]:
    """Return a backup as JSON."""
    return {"folder": str(made.folder), "incomplete": made.incomplete, **made.manifest.to_json()}


def described(made: Made) -> list[str]:
    """Return what to say of a backup that was made."""
    manifest = made.manifest
    lines = [
        f"Backed up to {made.folder}: {counted(manifest.rows, 'row')} of {counted(len(manifest.tables), 'table')}, "
        f"{_amount(manifest.size_bytes)}."
    ]
    if manifest.runs is not None:
        lines.append(f"  run folders: {counted(manifest.runs['files'], 'file')} of {manifest.runs['folder']}")
    if manifest.outbox is not None:
        lines.append(f"  outbox of this host: {counted(manifest.outbox['files'], 'file')}")
    if manifest.position is not None:
        applied_at = manifest.position["applied_at"]
        lines.append(
            f"  ledger: {counted(manifest.position['entries'], 'output')}"
            + (f", the last applied at {applied_at}" if applied_at else "")
        )
    lines += [f"  NOT IN IT AS IT SHOULD BE: {line}" for line in made.incomplete[:_MOST_SHOWN]]
    if len(made.incomplete) > _MOST_SHOWN:
        lines.append(f"  … and {len(made.incomplete) - _MOST_SHOWN:,} more; all of them are in the manifest")
    lines.append(f"Bring it back with: ops restore {made.folder}")
    return lines


def _list(to: Path, *, as_json: bool) -> int:
    found: list[tuple[Path, Manifest | None, str]] = []
    for folder in list_backups(to):
        try:
            found.append((folder, read_manifest(folder), ""))
        except UsageError as error:
            found.append((folder, None, str(error)))
    if as_json:
        print_json(
            [
                {"folder": str(folder), "error": error or None, **(manifest.to_json() if manifest else {})}
                for folder, manifest, error in found
            ]
        )
    elif not found:
        say(f"There is no backup in {to}.")
    else:
        print_rows(_row(number, *one) for number, one in enumerate(found, 1))
    return DONE


def _row(number: int, folder: Path, manifest: Manifest | None, error: str) -> Row:
    if manifest is None:
        return Row((folder, "", "", "", error), str(number), str(folder), error)
    made_at = f"{manifest.made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    name = str(manifest.database["name"])
    files = "without run folders" if manifest.runs is None else counted(manifest.runs["files"], "file")
    below = (
        f'{made_at}, database "{name}", {counted(manifest.rows, "row")}, {files}, {_amount(manifest.size_bytes)}'
    )
    return Row((folder, made_at, name, manifest.rows, manifest.size_bytes), str(number), str(folder), below)


def _verify(to: Path, settings: Settings, *, as_json: bool) -> int:
    backups = list_backups(to)
    if not backups:
        raise UsageError(f"There is no backup in {to}.")
    verified = []
    with StepProgress() as progress:
        for folder in backups:
            progress.begin(f"Verifying {folder.name}", unit="byte")
            done = 0

            def took(size: int) -> None:
                nonlocal done
                done += size
                progress.update(done)

            verified.append(verify(folder, took))
    _note(verified, settings)
    if as_json:
        print_json(
            [{"folder": str(one.folder), "sound": one.is_sound, "faults": list(one.faults)} for one in verified]
        )
    else:
        for one in verified:
            click.echo(f"{one.folder}: {'sound' if one.is_sound else 'DAMAGED'}")
            for fault in one.faults:
                click.echo(f"  {printable(fault)}")
    return DONE if all(one.is_sound for one in verified) else DIFFERENCE


def _note(verified: list[Verified], settings: Settings) -> None:
    """Have the database remember what was verified, if it is there: backups outlive databases."""
    if settings.database_url is None and (
        settings.redis_url is not None or embedded.status(settings.home) is None
    ):
        return
    sound = [one.manifest for one in verified if one.is_sound and one.manifest is not None]

    async def note() -> None:
        connection = await connect(database_address(settings), settings)
        try:
            for manifest in sound:
                await connection.execute(QUERIES["record_verification"], manifest.made_at, manifest.name)
        finally:
            connection.terminate()

    try:
        asyncio.run(note())
    except (RunferryError, *DATABASE_ERRORS) as error:
        say(f"The database could not be told of it: {error}")


def _amount(size: int) -> str:
    amount, unit = float(size), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{size} bytes" if unit == 0 else f"{amount:,.1f} {_UNITS[unit]}"
