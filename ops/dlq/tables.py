"""Rows on stdout: a head and its sentence on a terminal, however narrow; tab-separated fields elsewhere."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import click

from shared.printable import printable

_INDENT: Final = 9
_LEAST_WIDTH: Final = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to list: its fields for scripts, its head and what is said below it for people."""

    fields: Sequence[object]
    number: str
    head: str
    below: str


def print_rows(rows: Iterable[Row]) -> None:
    """Print rows as suits what stdout is."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(printable(str(field)) for field in row.fields))
        return
    width = max(shutil.get_terminal_size().columns, _LEAST_WIDTH)
    for row in rows:
        for line in row_lines(row, width):
            click.echo(line)


def row_lines(row: Row, width: int) -> list[str]:
    """Return a row for people, in lines that fit."""
    indent = " " * _INDENT
    head = textwrap.wrap(
        printable(row.head), width, initial_indent=f"{row.number:>{_INDENT - 2}}  ", subsequent_indent=indent
    )
    below = textwrap.wrap(printable(row.below), width, initial_indent=indent, subsequent_indent=indent)
    return [click.style(line, bold=True) for line in head] + below
