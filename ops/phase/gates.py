"""The gates between phases: upwards one at a time, after a soak and on a green checklist; downwards always. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.durations import write_duration
from shared.errors import UsageError
from shared.settings import Phase, Settings

ORDER: Final = (Phase.FILES_ONLY, Phase.DUAL_WRITE, Phase.DB_FIRST, Phase.DB_ONLY)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the migration stands: the phase, since when, the latest checklist and the latest rollback.

    Their times are None where there was none.
    """

    phase: Phase
    since: datetime
    checklist_at: datetime | None
    checklist_passed: bool
    now: datetime
    rolled_back_at: datetime | None = None


def is_upwards(before: Phase, target: Phase) -> bool:
    """Whether a change gives up more of the files."""
    return ORDER.index(target) > ORDER.index(before)


def next_above(phase: Phase) -> Phase | None:
    """Return the neighbour above; None for the last."""
    place = ORDER.index(phase) + 1
    return ORDER[place] if place < len(ORDER) else None


def check_neighbours(before: Phase, target: Phase) -> None:
    """Raise UsageError where a phase above is not the neighbour; nothing forces that."""
    if is_upwards(before, target) and next_above(before) is not target:
        steps = ORDER[ORDER.index(before) + 1 : ORDER.index(target) + 1]
        raise UsageError(
            f"From {before.value} the way up to {target.value} goes by "
            f"{', then '.join(step.value for step in steps)}: one at a time."
        )


def obstacles(standing: Standing, target: Phase, settings: Settings) -> list[str]:
    """Return why the gate to a phase is closed, a sentence each; nothing where it is open."""
    soak = _soak(target, settings)
    if not is_upwards(standing.phase, target) or soak is None:
        return []
    found = []
    rested = standing.now - standing.since
    if rested < soak:
        found.append(
            f"{standing.phase.value} has been in force for {_rounded(rested)}; "
            f"{target.value} opens after {write_duration(soak)} ({_variable(target)})."
        )
    if standing.checklist_at is None:
        found.append("There is no checklist yet: run `ops checklist`.")
    elif not standing.checklist_passed:
        found.append("The latest checklist did not pass: see `ops checklist`.")
    elif standing.now - standing.checklist_at > settings.checklist_max_age:
        found.append(
            f"The latest checklist is {_rounded(standing.now - standing.checklist_at)} old; at most "
            f"{write_duration(settings.checklist_max_age)} counts (RUNFERRY_CHECKLIST_MAX_AGE): run `ops checklist`."
        )
    elif standing.rolled_back_at is not None and standing.rolled_back_at >= standing.checklist_at:
        found.append(
            f"Runs were rolled back {_rounded(standing.now - standing.rolled_back_at)} ago, after the latest "
            "checklist: run `ops checklist`."
        )
    return found


def _soak(target: Phase, settings: Settings) -> timedelta | None:
    match target:
        case Phase.DB_FIRST:
            return settings.soak_db_first
        case Phase.DB_ONLY:
            return settings.soak_db_only
        case _:
            return None


def _variable(target: Phase) -> str:
    return "RUNFERRY_SOAK_DB_FIRST" if target is Phase.DB_FIRST else "RUNFERRY_SOAK_DB_ONLY"


def _rounded(duration: timedelta) -> str:
    seconds = max(0, int(duration.total_seconds()))
    days, rest = divmod(seconds, 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min"
