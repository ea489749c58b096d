"""What the documents say is there: commands, options, targets of make, files that they link to."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest
from command_lines import REPOSITORY, SCRIPTS, check_command_line

DOCUMENTS = sorted(
    path
    for path in (REPOSITORY / "README.md", *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("examples/*.md"))
    if path.is_file()
)
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
}


def _lines(text: str) -> set[str]:
    fenced = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}(.+)$", text, re.MULTILINE)
    candidates = [line for block in fenced for line in block.splitlines()] + indented
    candidates += _CODE.findall(re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return {candidate.strip().removeprefix("$ ") for candidate in candidates}


def _command_lines(text: str) -> set[tuple[str, ...]]:
    """Return the command lines of a document; what is left open by `…` is cut, a comment too."""
    found = set()
    for line in _lines(text):
        match = _START.match(line)
        if match is None or any(mark in line for mark in "|<["):
            continue
        command = re.split(r"\s{2,}|\s#|…", match["line"])[0]
        found.add(tuple(_STAND_INS.get(word, word) for word in shlex.split(command)))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_command_of_a_document_exists(document: Path) -> None:
    for line in sorted(_command_lines(document.read_text())):
        # A sentence names a command without its arguments.
        with suppress(click.MissingParameter, click.BadOptionUsage):
            check_command_line(line)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_target_of_make_exists(document: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for line in _lines(document.read_text()):
        match = re.match(r"(?:\w+=\S+ )*make ([a-z-]+)", line)
        if match is not None:
            assert match[1] in targets, line


def test_the_readme_names_commands_at_all() -> None:
    assert len(_command_lines((REPOSITORY / "README.md").read_text())) >= 5
