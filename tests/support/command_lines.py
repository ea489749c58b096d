"""Whether a command line that a document or a deployment names exists, with the options that it gives."""

from __future__ import annotations

import importlib
import importlib.util
import tomllib
from collections.abc import Sequence
from pathlib import Path

import click

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS: dict[str, str] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]


def check_command_line(line: Sequence[str]) -> None:
    """Raise AssertionError or click.UsageError where the line names what does not exist; nothing is run."""
    words = list(line)
    if words[0] == "runferry-entrypoint":
        words = words[1:]
    if words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None, f"no module {words[2]}"
        return
    assert words[0] in SCRIPTS, f"no command {words[0]}"
    module, _, attribute = SCRIPTS[words[0]].partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    name, arguments = words[0], words[1:]
    while isinstance(command, click.Group) and arguments:
        name, arguments = arguments[0], arguments[1:]
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"no command {name} in {' '.join(line)}"
        command = found
    # Parsing alone; nothing is invoked. Unknown options and bad values raise click.UsageError.
    if not isinstance(command, click.Group):
        command.make_context(name, arguments).close()
