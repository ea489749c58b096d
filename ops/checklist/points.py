"""Points: what has to be true before the migration is complete, and how each was found. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final


class PointName(StrEnum):
    """The points of the user's validation checklist, in its order, and the rehearsal of the ways back."""

    ALL_RUNS_MIGRATED = "all_runs_migrated"
    RANDOM_RUNS_EQUAL = "random_runs_equal"
    NEW_OUTPUTS_REACH_ROWS = "new_outputs_reach_rows"
    API_READS_ROWS = "api_reads_rows"
    READS_AND_FALLBACK = "reads_and_fallback"
    BACKUPS_RESTORABLE = "backups_restorable"
    BACKFILL_IN_CI = "backfill_in_ci"
    REHEARSED = "rehearsed"


TITLES: Final[Mapping[PointName, str]] = {
    PointName.ALL_RUNS_MIGRATED: "All runs on disk are in the database",
    PointName.RANDOM_RUNS_EQUAL: "5 random runs equal their rows, field by field",
    PointName.NEW_OUTPUTS_REACH_ROWS: "New pipeline outputs reach the rows",
    PointName.API_READS_ROWS: "The app's API shows what the rows hold",
    PointName.READS_AND_FALLBACK: "Reads from the database and the file fallback work",
    PointName.BACKUPS_RESTORABLE: "Backups are fresh and restorable",
    PointName.BACKFILL_IN_CI: "The backfill runs in CI",
    PointName.REHEARSED: "The way there and back was rehearsed",
}


class PointState(StrEnum):
    """How a point stands."""

    PASSED = "passed"
    FAILED = "failed"
    ATTESTED = "attested"  # a person's word stands for what a machine can't see here
    NOT_CHECKABLE = "not_checkable"


@dataclass(frozen=True, slots=True)
class Point:
    """One point, with the evidence in words."""

    name: PointName
    state: PointState
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Return the point as JSON values."""
        return asdict(self)


def passed(name: PointName, detail: str) -> Point:
    """Return a point that was seen to be true."""
    return Point(name, PointState.PASSED, detail)


def failed(name: PointName, detail: str) -> Point:
    """Return a point that was seen to be false."""
    return Point(name, PointState.FAILED, detail)


def not_checkable(name: PointName, detail: str) -> Point:
    """Return a point that can't be seen from here."""
    return Point(name, PointState.NOT_CHECKABLE, detail)


def with_attestations(points: Sequence[Point], attested: Mapping[str, str]) -> list[Point]:
    """Return the points; a person's word stands only for what could not be checked, never against what was seen."""
    return [
        replace(point, state=PointState.ATTESTED, detail=attested[point.name])
        if point.state is PointState.NOT_CHECKABLE and point.name in attested
        else point
        for point in points
    ]


def is_green(points: Sequence[Point]) -> bool:
    """Return whether every point passed or is attested."""
    return all(point.state in (PointState.PASSED, PointState.ATTESTED) for point in points)
