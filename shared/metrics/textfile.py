"""A file of metrics, for the textfile collector of a node exporter: whole or not there."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final
from uuid import uuid4

import click

from shared.errors import UsageError

#: The option of commands that print metrics; its value is called `file`.
textfile_option: Final = click.option(
    "--to",
    "file",
    type=click.Path(path_type=Path),
    help="Write them to FILE, for a node exporter's textfile collector.",
)


def write_textfile(file: Path, text: bytes) -> None:
    """Put `text` in place of what is in the file; raises UsageError where the folder doesn't take it."""
    # A node exporter reads names that end in .prom alone.
    temporary = file.with_name(f".{file.name}.{uuid4().hex}.new")
    try:
        temporary.write_bytes(text)
        temporary.chmod(0o644)
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UsageError(f"{file} can't be written: {error.strerror or error}.") from error
