"""The example tree, read in the simplest way, and what its README says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.documents import Document
from shared.errors import Malformed
from shared.ids import Stage, parse_run_id
from shared.mapping import map_output
from shared.reasons import Reason
from shared.rows import MappedOutput

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class Claim:
    """What the README says becomes of a run."""

    contents: str
    applied: tuple[int, ...]
    gaps: tuple[str, ...]
    dead_letters: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What the mapping makes of one stage output."""

    mapped: MappedOutput | None
    reason: Reason | None
    documents: tuple[Document, ...]


@pytest.fixture(scope="session")
def readme() -> str:
    return (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def claims(readme: str) -> Mapping[str, Claim]:
    """The README's table, by run."""
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \| (.+) \| (.+) \| (.+) \|$", readme, re.MULTILINE)
    return {
        run_id: Claim(contents, tuple(map(int, applied.split())), _listed(gaps), _listed(dead_letters))
        for run_id, contents, applied, gaps, dead_letters in rows
    }


@pytest.fixture(scope="session")
def outcomes() -> Mapping[str, Mapping[int, Outcome]]:
    """By run and stage, what becomes of the files."""
    run_dirs = sorted(path for path in (EXAMPLES / "runs").iterdir() if path.is_dir())
    return {
        run_dir.name: {
            int(stage): _outcome(run_dir.name, stage, documents)
            for stage in Stage
            if (documents := _documents(run_dir / f"stage{int(stage)}"))
        }
        for run_dir in run_dirs
    }


def _listed(cell: str) -> tuple[str, ...]:
    return () if cell == "–" else tuple(sorted(cell.split(", ")))


def _documents(stage_dir: Path) -> tuple[Document, ...]:
    if not stage_dir.is_dir():
        return ()
    paths = (path for path in stage_dir.iterdir() if path.suffix in (".json", ".md"))
    return tuple(Document(path.name, path.read_bytes()) for path in sorted(paths))


def _outcome(run_id: str, stage: Stage, documents: tuple[Document, ...]) -> Outcome:
    try:
        return Outcome(map_output(parse_run_id(run_id), stage, documents), None, documents)
    except Malformed as malformed:
        return Outcome(None, malformed.reason, documents)
