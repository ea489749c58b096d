"""What the documents say is there: commands, options, targets of make, files that they link to."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import click
import pytest
from command_lines import REPOSITORY, check_command_line, command_lines, lines_of

from shared.settings import Settings, variable

#: What the files of this repository are named by; a bare name may be one of the user's.
FOLDERS = ("benchmarks", "docs", "examples", "ops", "producers", "shared", "tests", "workers")

DOCUMENTS = sorted(
    path for folder in (".", "docs/**", "examples", "ops/deploy") for path in REPOSITORY.glob(f"{folder}/*.md")
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_command_of_a_document_exists(document: Path) -> None:
    for line in sorted(command_lines(document.read_text())):
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
    for line in lines_of(document.read_text()):
        match = re.match(r"(?:\w+=\S+ )*make ([a-z-]+)", line)
        if match is not None:
            assert match[1] in targets, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_file_and_every_variable_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    for name in re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*\w)`", text):
        assert (REPOSITORY / name).exists(), name
    settings = {variable(name) for name in Settings.model_fields} | {"RUNFERRY_TRACEBACK"}
    assert set(re.findall(r"RUNFERRY_[A-Z_]*[A-Z]", text)) - settings == set()


def test_the_readme_names_commands_at_all() -> None:
    assert len(command_lines((REPOSITORY / "README.md").read_text())) >= 5
