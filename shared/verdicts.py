"""Verdicts: what became of one output."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """The words that stand in `runferry.delivery` and in every summary."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"  # the rows say it already; none was touched
    SUPERSEDED = "superseded"  # a later output holds
    CONFLICT = "conflict"  # it may not overwrite what is there; a person decides by --prefer
    MENDED = "mended"  # a mended output has taken its place
    DEAD_LETTERED = "dead_lettered"
    DELETED = "deleted"  # its Run was deleted in the web app
    OUTDATED = "outdated"  # a repair that was based on a state which no longer holds
