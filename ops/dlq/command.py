"""`ops dlq`: its subcommands."""

from __future__ import annotations

import click

from ops.dlq.discard import discard_letters
from ops.dlq.edit import edit_letter
from ops.dlq.export import export_letters
from ops.dlq.groups import list_groups
from ops.dlq.import_ import import_letters
from ops.dlq.list import list_letters
from ops.dlq.purge import purge_letters
from ops.dlq.replay import replay_letters
from ops.dlq.show import show_letter
from ops.dlq.sweep import sweep_letters
from shared.command import RunferryGroup


@click.group("dlq", cls=RunferryGroup)
def dlq() -> None:
    """Look at outputs that died, mend and replay them, or give them up.

    \b
    Where to begin:
      ops dlq groups          which failures there are, and how many of each
      ops dlq show ID         why one died, and where in its document
      ops dlq edit ID         mend it in your editor
      ops dlq replay …        send them again, once the file or the code is mended
    """


for _command in (
    list_letters,
    list_groups,
    show_letter,
    replay_letters,
    edit_letter,
    discard_letters,
    export_letters,
    import_letters,
    purge_letters,
    sweep_letters,
):
    dlq.add_command(_command)
