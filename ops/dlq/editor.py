"""The user's editor on documents in a folder of their own."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from shared.documents import Document, name_fault
from shared.errors import UsageError


def editor_command() -> list[str]:
    """Return the editor that the user named, as $VISUAL or $EDITOR, else vi."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        return shlex.split(named) or ["vi"]
    except ValueError:
        raise UsageError(f"EDITOR is {named!r}, which is no command.") from None


def put(documents: Iterable[Document], folder: Path) -> dict[str, Path]:
    """Write documents into a folder and return their paths by name; a name that is no file name gets one."""
    paths: dict[str, Path] = {}
    for number, document in enumerate(documents, start=1):
        plain = document.name.isprintable() and document.name != ".." and name_fault(document.name) is None
        path = folder / (document.name if plain else f"document-{number}")
        path.write_bytes(document.content)
        paths[document.name] = path
    return paths


def edit(paths: Iterable[Path]) -> None:
    """Run the editor on files until it ends; raises UsageError where it can't be run or fails."""
    command = editor_command()
    try:
        status = subprocess.run([*command, *map(str, paths)], check=False).returncode
    except OSError as error:
        raise UsageError(
            f"The editor {command[0]!r} can't be run: {error.strerror}; set EDITOR to one that is there."
        ) from None
    if status:
        raise UsageError(f"The editor {command[0]!r} ended with status {status}; nothing was changed.")
