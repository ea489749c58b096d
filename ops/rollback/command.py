"""The `ops rollback` command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import click

from ops.backup.progress import StepProgress
from ops.dlq.asking import confirmed
from ops.rollback.rollback import RollbackOptions, RolledBack, run_rollback
from shared.command import DIFFERENCE, DONE, RunferryCommand, print_json, store_options
from shared.counting import counted, word_for
from shared.errors import UsageError
from shared.printable import printable
from shared.settings import Settings

_MOST_SHOWN: Final = 20
#: Below the home, where nobody says another folder.
BACKUPS: Final = "backups"


@click.command(
    "rollback",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops rollback --all-migrated --dry-run              what would go, what would stay and why
  ops rollback --all-migrated --yes                  take back all that came from files
  ops rollback --run-id test-run-001 --run-id r2     these runs, whoever sent their outputs
  ops rollback --all-migrated --backup-to /backups   the backup that is made first, elsewhere

\b
Exit status: 0 every run was rolled back, what was kept is named; 1 some runs were left as they are, and are named;
2 nothing was changed.""",
)
@click.option("--run-id", "run_ids", multiple=True, metavar="ID", help="This run; may be given several times.")
@click.option("--all-migrated", is_flag=True, help="All runs that came from files and no pipeline has written to.")
@click.option("--include-pipeline", is_flag=True, help="With --all-migrated: runs of live pipelines as well.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show the counts and what would be kept.")
@click.option(
    "--backup-to",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the backup goes that is made first (default: backups in RUNFERRY_HOME).",
)
@click.option("--no-backup", is_flag=True, help="Make no backup first: you have one.")
@click.option("--yes", is_flag=True, help="Don't ask; asked is at a terminal only, or without a backup.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def rollback(
    settings: Settings,
    *,
    run_ids: tuple[str, ...],
    all_migrated: bool,
    include_pipeline: bool,
    dry_run: bool,
    backup_to: Path | None,
    no_backup: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Take away what the migration created, and only that.

    Rows that runferry inserted and nobody touched go; rows that it overwrote get back what they held. Starred and
    edited cards, and whatever the web app made, stay and are named. Afterwards a backfill applies the files anew.
    """
    if bool(run_ids) == all_migrated:
        raise UsageError("Say which runs: --all-migrated, or --run-id ID (several times for several runs).")
    if include_pipeline and not all_migrated:
        raise UsageError("--include-pipeline goes with --all-migrated: a run that is named is rolled back whole.")
    if backup_to is not None and no_backup:
        raise UsageError("--backup-to or --no-backup: one of them.")
    named = tuple(dict.fromkeys(run_ids))
    which = "all migrated runs" if all_migrated else named[0] if len(named) == 1 else f"{len(named):,} runs"
    # A script may go on without --yes as long as there is a way back from it as well.
    asked = sys.stdin.isatty() or no_backup
    if asked and not dry_run and not confirmed(f"Roll back {which}?", yes=yes):
        return DIFFERENCE
    options = RollbackOptions(
        named,
        include_pipeline,
        dry_run,
        None if no_backup else backup_to or settings.home.absolute() / BACKUPS,
    )
    with StepProgress() as progress:
        done = asyncio.run(run_rollback(options, settings, progress))
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                **done.tally.to_json(),
                "kept": [kept.to_json() for kept in done.tally.kept],
                "skipped": [{"run_id": run_id, "why": why} for run_id, why in done.tally.skipped],
                "pipeline_runs_left_alone": done.left_alone,
                "backup": None if done.backup is None else str(done.backup.folder),
                "seconds": round(done.seconds, 3),
            }
        )
    else:
        for line in _described(done, dry_run=dry_run):
            click.echo(line)
    return DIFFERENCE if done.tally.skipped else DONE


def _described(done: RolledBack, *, dry_run: bool) -> Iterator[str]:
    tally = done.tally
    would = "would be " if dry_run else ""
    were = would or word_for(tally.runs, "was ", "were ")
    yield f"{counted(tally.runs, 'run')} {were}rolled back in {done.seconds:,.1f} s:"
    yield f"{tally.runs_deleted:>11,}  {word_for(tally.runs_deleted, 'run')} {would}deleted"
    yield _put_back(tally.runs_restored, "run", "runs", would)
    yield f"{tally.runs_kept:>11,}  {word_for(tally.runs_kept, 'run')} {would}kept"
    for table, count in sorted(tally.rows_deleted.items()):
        yield f"{count:>11,}  {word_for(count, 'row')} of {table} {would}deleted"
    for table, count in sorted(tally.rows_restored.items()):
        yield _put_back(count, f"row of {table}", f"rows of {table}", would)
    if tally.existed:
        there = word_for(tally.existed, "row that was", "rows that were")
        yield f"{tally.existed:>11,}  {there} there before runferry, untouched"
    if tally.user_removed:
        yield f"{1:>11,}  user {would}deleted: migration-user, whom nothing needs any more"
    yield from _named("Kept", [str(kept) for kept in tally.kept])
    yield from _named("LEFT AS THEY ARE", [f"{run_id}: {why}" for run_id, why in tally.skipped])
    if tally.deleted_in_web_app:
        deleted = counted(tally.deleted_in_web_app, "run was", "runs were")
        yield f"{deleted} deleted in the web app before; runferry goes on knowing that."
    if done.left_alone:
        alone = counted(
            done.left_alone,
            "run has outputs of a live pipeline and was",
            "runs have outputs of a live pipeline and were",
        )
        yield f"{alone} left alone (--include-pipeline)."
    if done.backup is not None:
        yield f"The backup that was made first: {done.backup.folder}"


def _put_back(count: int, one: str, many: str, would: str) -> str:
    words = word_for(count, f"{one} {would}put back as it was", f"{many} {would}put back as they were")
    return f"{count:>11,}  {words}"


def _named(title: str, lines: list[str]) -> Iterator[str]:
    if not lines:
        return
    yield f"{title}:"
    for line in islice(lines, _MOST_SHOWN):
        yield f"  {printable(line)}"
    if len(lines) > _MOST_SHOWN:
        yield f"  … and {len(lines) - _MOST_SHOWN:,} more; all of them: --json"
