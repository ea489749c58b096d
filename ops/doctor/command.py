"""The `ops doctor` command."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from ops.doctor.examination import examine
from ops.doctor.finding import Finding, State, is_healthy
from shared.command import DIFFERENCE, DONE, RunferryCommand, print_json, store_options
from shared.settings import Settings
from shared.stores import resolve_stores

_COLOURS: Final = {State.GOOD: "green", State.WARNING: "yellow", State.WRONG: "red"}


@click.command(
    cls=RunferryCommand,
    epilog="""\b
Examples:
  ops doctor
  ops doctor --root /data/test-outputs --json
  ops doctor --backup-to /backups

\b
Exit status: 0 nothing is wrong (there may be warnings), 1 something is wrong, 2 wrong usage or could not run.""",
)
@click.option(
    "--root", type=click.Path(path_type=Path), help="The folder of the run folders (RUNFERRY_ROOT by default)."
)
@click.option(
    "--backup-to",
    type=click.Path(path_type=Path),
    help="Where backups shall go (where the last one went by default).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@store_options
def doctor(settings: Settings, *, root: Path | None, backup_to: Path | None, as_json: bool) -> int:
    """Look at everything that runferry stands on, and say what is wrong and what to do.

    Redis (eviction, persistence, memory, who else uses it), PostgreSQL (schema, unique keys, connections, time
    zone, and which role may do what), the ways to both and whether they are encrypted, all clocks, the workers, the
    run folders, PostgreSQL's programs, disks and open files. It takes seconds, and nothing is changed.
    """
    if root is not None:
        settings = settings.model_copy(update={"root": root})
    findings = examine(resolve_stores(settings), settings, backup_to)
    if as_json:
        print_json({"healthy": is_healthy(findings), "checks": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
    return DONE if is_healthy(findings) else DIFFERENCE


def _show(findings: list[Finding]) -> None:
    for finding in findings:
        state = click.style(f"{finding.state:<8}", fg=_COLOURS[finding.state])
        click.echo(f"{state} {finding.name}: {finding.detail}")
        if finding.todo:
            click.echo(f"{'':8} → {finding.todo}")
    wrong = sum(finding.state is State.WRONG for finding in findings)
    warnings = sum(finding.state is State.WARNING for finding in findings)
    click.echo()
    click.echo(f"{len(findings)} things looked at: {wrong} wrong, {warnings} to be warned of.")
