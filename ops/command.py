"""The `ops` command: looking, proving, mending, and the ways back."""

from __future__ import annotations

import importlib
from enum import StrEnum
from typing import Final, NamedTuple

import click

from shared import __version__
from shared.command import RunferryGroup


class Section(StrEnum):
    """The parts of `ops --help`, in their order."""

    LOOK = "Look"
    PROVE = "Prove"
    MEND = "Mend"
    WAYS_BACK = "Ways back"


class Entry(NamedTuple):
    """Where a command is; its module is imported when the command is used."""

    target: str
    section: Section


#: Every command of `ops`: name -> "module:attribute" and its section, in the order of the help.
COMMANDS: Final[dict[str, Entry]] = {
    "services": Entry("ops.services:services", Section.LOOK),
    "doctor": Entry("ops.doctor.command:doctor", Section.LOOK),
    "status": Entry("ops.status.command:status", Section.LOOK),
    "metrics": Entry("ops.metrics.command:metrics", Section.LOOK),
    "psql": Entry("ops.psql:psql", Section.LOOK),
    "trace": Entry("ops.trace.command:trace", Section.LOOK),
    "reconcile": Entry("ops.reconcile.command:reconcile", Section.PROVE),
    "checklist": Entry("ops.checklist.command:checklist", Section.PROVE),
    "schema": Entry("ops.schema.command:schema", Section.MEND),
    "phase": Entry("ops.phase.command:phase", Section.MEND),
    "dlq": Entry("ops.dlq.command:dlq", Section.MEND),
    "pause": Entry("ops.pause:pause", Section.MEND),
    "resume": Entry("ops.pause:resume", Section.MEND),
    "export": Entry("ops.export.command:export", Section.WAYS_BACK),
    "backup": Entry("ops.backup.command:backup", Section.WAYS_BACK),
    "restore": Entry("ops.restore.command:restore", Section.WAYS_BACK),
    "rollback": Entry("ops.rollback.command:rollback", Section.WAYS_BACK),
    "emergency-rollback": Entry("ops.emergency_rollback.command:emergency_rollback", Section.WAYS_BACK),
    "rehearse": Entry("ops.rehearse.command:rehearse", Section.WAYS_BACK),
}


class _Commands(RunferryGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in Section:
            names = [name for name, entry in COMMANDS.items() if entry.section is section]
            self.list_section(section, names, ctx, formatter)


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="runferry")
def main() -> None:
    """Operate runferry: look at it, prove that nothing is lost, mend what is, go back.

    \b
    Examples:
      ops status --watch
      ops reconcile --all --run-workers 2
      ops dlq list
    """


if __name__ == "__main__":
    main(prog_name="ops")
