"""Tables on stdout: fitted to a terminal, and tab-separated lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.dlq.printable import printable


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, wraps: str) -> None:
    """Print rows under their columns; on a narrow terminal only the column `wraps` gives way."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            click.echo("\t".join(printable(str(value)) for value in row))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numbers = column in ("id", "stage", "seen", "replays", "letters", "example")
        table.add_column(
            column,
            justify="right" if numbers else "left",
            no_wrap=column != wraps,
            overflow="fold" if column == wraps else "ellipsis",
            ratio=1 if column == wraps else None,
            min_width=len(column) if column != wraps else 20,
        )
    for row in rows:
        table.add_row(*(Text(printable(str(value))) for value in row))
    console.print(table)
