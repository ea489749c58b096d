"""The `ops restore` command."""

from __future__ import annotations

import asyncio
from datetime import UTC
from pathlib import Path

import click

from ops.backup.progress import StepProgress
from ops.restore.restore import Restored, RestoreOptions, restore_backup
from shared.command import DIFFERENCE, DONE, RunferryCommand, print_json, store_options
from shared.counting import counted
from shared.errors import UsageError
from shared.settings import Settings


@click.command(
    "restore",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops restore /backups/20261122T233301Z                        into the database of the address, which is empty
  ops restore /backups/20261122T233301Z --into staging         into a new database of the same server
  ops restore /backups/20261122T233301Z --overwrite runferry   in its place; the one before keeps another name
  ops restore /backups/20261122T233301Z --files-to restored    the run folders as well

\b
Exit status: 0 every table has the hash that it had; 1 a table differs, and nothing was put in another's place,
  or extracted files could not be put in their place;
2 nothing was restored, and nothing has changed.""",
)
@click.argument("source", metavar="FROM", type=click.Path(file_okay=False, path_type=Path))
@click.option("--into", metavar="NEWNAME", help="Make this database on the same server, and restore into it.")
@click.option(
    "--overwrite", metavar="DATABASE", help="Put the backup in the place of this database, once verified."
)
@click.option(
    "--files-to",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Extract the run folders to this new folder.",
)
@click.option(
    "--outbox-to", metavar="DIR", type=click.Path(path_type=Path), help="Extract the outbox to this new folder."
)
@click.option("--with-rights", is_flag=True, help="Restore owners and grants too; their roles must exist.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def restore(
    settings: Settings,
    *,
    source: Path,
    into: str | None,
    overwrite: str | None,
    files_to: Path | None,
    outbox_to: Path | None,
    with_rights: bool,
    as_json: bool,
) -> int:
    """Bring the backup in the folder FROM back into an empty database.

    Its parts are verified first, and the hash of every table after. Then `ops reconcile --all` says what came since
    the backup, and `--repair` sends it again from the files.
    """
    if into is not None and overwrite is not None:
        raise UsageError("--into or --overwrite: one of them.")
    options = RestoreOptions(source, into, overwrite, files_to, outbox_to, with_rights)
    with StepProgress() as progress:
        restored = asyncio.run(restore_backup(options, settings, progress))
    if as_json:
        print_json(
            {
                "database": restored.database,
                "equal": not restored.differences,
                "differences": [str(one) for one in restored.differences],
                "tables": len(restored.manifest.tables),
                "rows": restored.manifest.rows,
                "made_at": restored.manifest.made_at,
                "position": restored.manifest.position,
                "kept_as": restored.aside,
                "files": restored.files,
                "outbox_files": restored.outbox_files,
                "unplaced": restored.unplaced,
                "phase": None
                if restored.phase is None
                else {
                    "kept": restored.phase.kept.value,
                    "in_backup": None if restored.phase.in_backup is None else restored.phase.in_backup.value,
                },
            }
        )
    else:
        for line in _described(restored):
            click.echo(line)
    return DIFFERENCE if restored.differences or restored.unplaced else DONE


def _described(restored: Restored) -> list[str]:
    manifest = restored.manifest
    lines = [
        f'The database "{restored.database}" holds the backup of {manifest.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} '
        f"UTC: {counted(manifest.rows, 'row')} of {counted(len(manifest.tables), 'table')}."
    ]
    if restored.differences:
        lines.append("NOT EQUAL to what was backed up:")
        lines += [f"  {one}" for one in restored.differences]
    else:
        lines.append("Every table has the hash that it had.")
    if restored.left is not None:
        lines.append(f'It was not put in the place of the other one; drop "{restored.left}" once you have looked.')
    if restored.aside is not None:
        lines.append(f'What was there before is now the database "{restored.aside}"; drop it when you are sure.')
    if restored.files is not None:
        lines.append(
            f"{counted(restored.files, 'file of run folders was', 'files of run folders were')} extracted."
        )
    if restored.outbox_files is not None:
        lines.append(
            f"{counted(restored.outbox_files, 'file of the outbox was', 'files of the outbox were')} extracted."
        )
    if restored.unplaced is not None:
        lines.append(
            f"WHAT WAS EXTRACTED IS STILL IN A HIDDEN FOLDER IN IT ({restored.unplaced}): move it out yourself."
        )
    if restored.phase is not None:
        had = restored.phase.in_backup
        lines.append(
            f"The phase stays {restored.phase.kept.value}, which is in force; the backup had "
            + ("none." if had is None else f"{had.value} (to go there: ops phase set {had.value}).")
        )
    lines.append("What came since the backup: ops reconcile --all, and with --repair it is sent again.")
    return lines
