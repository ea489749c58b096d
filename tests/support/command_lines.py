"""Whether a command line that a document or a deployment names exists, with the options that it gives."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path

import click

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS: dict[str, str] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]

_CODE = re.compile(r"`([^`\n]+)`")
_START = re.compile(rf"^(?:\w+=\S+ )*(?P<line>(?:{'|'.join(SCRIPTS)}) .*)$")
#: What stands for a value in a document, and a value that parses.
_STAND_INS = {
    "ID": "1",
    "N": "1",
    "DIR": ".",
    "RUN_ID": "run-1",
    "RUN": "run-1",
    "STAGE": "1",
    "FILE": __file__,
    "dead-letters.jsonl": __file__,
    "NAME": "name",
    "FOLDER": ".",
}


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


def lines_of(text: str) -> set[str]:
    """Return what a document shows as code, line by line."""
    fenced = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(.+)$", text, re.MULTILINE)
    candidates = [line for block in fenced for line in block.splitlines()] + indented
    candidates += _CODE.findall(re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return {candidate.strip().removeprefix("$ ") for candidate in candidates}


def command_lines(text: str) -> set[tuple[str, ...]]:
    """Return the command lines of a document; what is left open by `…` is cut, a comment too."""
    found = set()
    for line in lines_of(text):
        match = _START.match(line)
        if match is None or any(mark in line for mark in "|<["):
            continue
        command = re.split(r"\s{2,}|\s#|…", match["line"])[0]
        found.add(tuple(_STAND_INS.get(word, word) for word in shlex.split(command)))
    return found
