"""The `ops export` command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import asyncpg
import click

from ops.backup.progress import StepProgress
from ops.dlq.asking import confirmed
from ops.dlq.database import with_database
from ops.export.comparing import Standing
from ops.export.exporting import Tally, survey, unknown_runs, write
from shared.command import DIFFERENCE, DONE, RunferryCommand, print_json, say, store_options
from shared.counting import counted, word_for
from shared.errors import UsageError
from shared.settings import Settings
from shared.stores import Stores

_MOST_SHOWN: Final = 20


@click.command(
    "export",
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops export --all --to data/test-outputs      what the files lack or have otherwise
  ops export --run-id run-1 --to /tmp/look     one run, to look at it

\b
Exit status: 0 the folder holds what the rows hold; 1 some output could not be exported, or was left as it is.""",
)
@click.option("--all", "every", is_flag=True, help="All runs that have outputs.")
@click.option("--run-id", "run_ids", multiple=True, metavar="ID", help="This run; may be given several times.")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of run folders to write to; may hold some already.",
)
@click.option("--yes", is_flag=True, help="Replace what differs without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def export(
    settings: Settings, *, every: bool, run_ids: tuple[str, ...], target: Path, yes: bool, as_json: bool
) -> int:
    """Write outputs from the rows back into run folders.

    Documents come back under their names, Markdown byte for byte, JSON value for value, with the times at which they
    were produced; what was edited in the web app comes back as edited. Only what the folder lacks or has otherwise
    is written, each output as a whole.
    """
    if every == bool(run_ids):
        raise UsageError("Say which runs: either --all, or --run-id ID (several times for several runs).")
    wanted = None if every else list(dict.fromkeys(run_ids))

    async def go(connection: asyncpg.Connection, _stores: Stores) -> tuple[Tally, bool]:
        if wanted is not None and (unknown := await unknown_runs(connection, wanted)):
            raise UsageError(f"There is no run {', '.join(unknown[:_MOST_SHOWN])} in the web app.")
        found, done = Tally(), Tally()
        with StepProgress() as progress:
            progress.begin(f"Comparing with {target}", unit="output")
            await survey(connection, wanted, target, found, progress.update)
        differing = not found.standing[Standing.DIFFERS] or confirmed(_question(found, target), yes=yes)
        outputs = sum(found.standing.values()) + len(found.unexportable)
        try:
            with StepProgress() as progress:
                progress.begin(f"Writing to {target}", unit="output", total=outputs)
                await write(connection, wanted, target, done, progress.update, differing=differing)
        except BaseException:
            written = counted(done.written, "output was", "outputs were")
            say(f"{written} written to {target} before it ended; begun again, it goes on.")
            raise
        return done, differing

    tally, replaced = with_database(settings, go)
    if as_json:
        print_json(_json(tally, replaced=replaced))
    else:
        _print(tally, target, replaced=replaced)
    return DONE if replaced and not tally.unexportable else DIFFERENCE


def _question(found: Tally, target: Path) -> str:
    differing = found.standing[Standing.DIFFERS]
    newer = word_for(differing, "and is newer", f"{found.newer_on_disk:,} of them newer than the rows")
    return (
        f"{counted(differing, 'output')} in {target} {word_for(differing, 'differs', 'differ')} from the rows"
        f"{f', {newer}' if found.newer_on_disk else ''}. Replace {word_for(differing, 'it', 'them')}?"
    )


def _json(tally: Tally, *, replaced: bool) -> dict[str, Any]:
    return {
        "runs": len(tally.runs),
        "outputs": sum(tally.standing.values()),
        "written": tally.written,
        "same": tally.standing[Standing.SAME],
        "left": 0 if replaced else tally.standing[Standing.DIFFERS],
        "unexportable": [
            {"run_id": one.run_id, "stage": one.stage, "reason": one.reason} for one in tally.unexportable
        ],
    }


def _print(tally: Tally, target: Path, *, replaced: bool) -> None:
    differing = tally.standing[Standing.DIFFERS]
    kept = counted(differing, "that differs was left as it is", "that differ were left as they are")
    left = "" if replaced else f", {kept}"
    click.echo(
        f"{counted(sum(tally.standing.values()), 'output')} of {counted(len(tally.runs), 'run')} in {target}: "
        f"{tally.written:,} written, {counted(tally.standing[Standing.SAME], 'was', 'were')} there already{left}."
    )
    for one in tally.unexportable[:_MOST_SHOWN]:
        say(f"Stage {one.stage} of {one.run_id} could not be exported: {one.reason}")
    if len(tally.unexportable) > _MOST_SHOWN:
        say(f"… and {len(tally.unexportable) - _MOST_SHOWN:,} more (--json names all).")
