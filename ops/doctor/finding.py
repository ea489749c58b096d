"""Findings: what the doctor says of one thing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How one thing is."""

    GOOD = "good"
    WARNING = "warning"  # works, and may not for long
    WRONG = "wrong"  # messages or rows may be lost, or nothing works


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing is, with what was seen and, where it is not good, what to do."""

    name: str
    state: State
    detail: str
    todo: str = ""


def good(name: str, detail: str) -> Finding:
    """Return the finding of something that is as it should be."""
    return Finding(name, State.GOOD, detail)


def warning(name: str, detail: str, todo: str) -> Finding:
    """Return the finding of something that works, and may not for long."""
    return Finding(name, State.WARNING, detail, todo)


def wrong(name: str, detail: str, todo: str) -> Finding:
    """Return the finding of something that must be mended."""
    return Finding(name, State.WRONG, detail, todo)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Return whether nothing is wrong; a warning is not wrong."""
    return all(finding.state is not State.WRONG for finding in findings)
