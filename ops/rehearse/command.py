"""The `ops rehearse` command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click

from ops.backup.progress import StepProgress
from ops.rehearse.rehearse import RehearseOptions, run_rehearsal
from shared.command import DIFFERENCE, DONE, RunferryCommand, print_json, store_options
from shared.errors import UsageError
from shared.settings import Settings

_SAMPLE: Final = 100


@click.command(
    "rehearse",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops rehearse                        with a sample of 100 runs
  ops rehearse --sample 1000
  ops rehearse --all --json           with all runs; their folders are copied first

\b
Exit status: 0 every step was taken and found what it should; 1 a step failed; 2 it could not begin.""",
)
@click.option("--all", "every", is_flag=True, help="All runs of the root.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help=f"So many runs (default {_SAMPLE}).")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="The folder of the run folders (default data/test-outputs; RUNFERRY_ROOT).",
)
@click.option(
    "--run-workers",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    metavar="N",
    help="Worker processes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def rehearse(
    settings: Settings, *, every: bool, sample: int | None, root: Path | None, run_workers: int, as_json: bool
) -> int:
    """Take the whole journey, there and back, in scratch databases on the same server.

    Apply the schema, backfill, reconcile, export, back up, roll back, restore: each with the very command that the
    migration uses, each compared with what it should leave. No live row, key or file is touched; a rehearsal that is
    killed leaves scratch databases alone, and the next one clears them away.
    """
    if every and sample is not None:
        raise UsageError("--all or --sample: one of them.")
    options = RehearseOptions(root or settings.root, None if every else sample or _SAMPLE, run_workers)
    with StepProgress() as progress:
        done = asyncio.run(run_rehearsal(options, settings, progress))
    if as_json:
        print_json(
            {
                "passed": done.passed,
                "seconds": round(done.seconds, 3),
                "steps": [step.to_json() for step in done.steps],
                "cleared": done.cleared,
                "kept": done.kept,
            }
        )
    else:
        failed = [step for step in done.steps if not step.passed]
        click.echo(
            f"The way there and back FAILED at: {failed[0].step}."
            if failed
            else f"The way there and back works: {len(done.steps)} steps in {done.seconds:,.1f} s."
        )
        if not done.kept:
            click.echo("The result was not kept: the live database has no runferry schema yet (ops schema apply).")
    return DONE if done.passed else DIFFERENCE
