"""What is deployed, parsed: the compose file, the Dockerfile, the lock files."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import check_command_line

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: its keyword, its flags such as `--from=build`, its words, and its text."""

    stage: str
    keyword: str
    flags: Mapping[str, str]
    words: Sequence[str]
    text: str


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    """pyproject's `[project]`."""
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return project


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """The compose file, with the defaults of its variables and without `$$`."""
    text = (REPOSITORY / "docker-compose.yml").read_text()
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@pytest.fixture(scope="session")
def dockerfile() -> list[Instruction]:
    """The Dockerfile's instructions, in their order."""
    lines = (REPOSITORY / "ops/deploy/Dockerfile").read_text().splitlines()
    joined = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    instructions: list[Instruction] = []
    stage = ""
    for line in filter(None, joined.splitlines()):
        keyword, _, text = line.partition(" ")
        if keyword == "FROM":
            stage = text.rpartition(" AS ")[2] if " AS " in text else "final"
        words = json.loads(text) if text.startswith("[") else shlex.split(text)
        flags = dict(word[2:].split("=", 1) for word in words if re.match(r"--\w+=", word))
        plain = [word for word in words if not re.match(r"--\w+=", word)]
        instructions.append(Instruction(stage, keyword, flags, plain, text))
    return instructions


@pytest.fixture(scope="session")
def check_command() -> Callable[[Sequence[str]], None]:
    """A check that a command line names an existing command or module, with options that it has."""
    return check_command_line
