"""The standing of a run: which status everything known about it amounts to.

`RULES` is the one table from knowledge to status. It looks at the set of facts, never at the order in which they
arrived. So a status may change more than once (FAILED, then RUNNING, then COMPLETED, as more arrives), and always
ends the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.frozen import frozen
from shared.ids import Stage
from shared.mapping.run_row import RunStatus


class StatusReason(StrEnum):
    """Why a run has its status."""

    REPORTED_FAILED = "reported_failed"
    ALL_APPLIED = "all_applied"
    SOURCE_ENDS_EARLY = "source_ends_early"
    UNDER_WAY = "under_way"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """What the status of a run depends on.

    `at_source` is empty where no scanner said what the run folder holds. `last_applied_at` is the newest time at
    which an applied output was produced. `idle` is how long ago the newest of all known things happened.
    """

    applied: frozenset[Stage] = frozenset()
    dead: frozenset[Stage] = frozenset()
    at_source: frozenset[Stage] = frozenset()
    last_applied_at: datetime | None = None
    started_at: datetime | None = None
    failed_at: datetime | None = None
    error: str = ""
    has_pipeline_event: bool = False
    idle: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class StatusRule:
    """One line of the table; `why` is for people."""

    reason: StatusReason
    status: RunStatus
    why: str
    holds: Callable[[RunProgress, timedelta], bool]


@frozen
class Standing:
    """The status of a run, why, and the error message where it failed."""

    status: RunStatus
    reason: StatusReason
    error_message: str | None


def _is_reported_failed(progress: RunProgress, _quiet: timedelta) -> bool:
    others = (progress.started_at, progress.last_applied_at)
    failed_at = progress.failed_at
    return failed_at is not None and all(other is None or failed_at > other for other in others)


def _is_accounted_for(progress: RunProgress, _quiet: timedelta) -> bool:
    return progress.at_source <= progress.applied | progress.dead


def _is_complete(progress: RunProgress, quiet: timedelta) -> bool:
    return Stage.OPPORTUNITIES in progress.applied and _is_accounted_for(progress, quiet)


def _source_ended_early(progress: RunProgress, quiet: timedelta) -> bool:
    return (
        bool(progress.at_source)
        and _is_accounted_for(progress, quiet)
        and not progress.has_pipeline_event
        and progress.idle >= quiet
    )


#: The first line that holds decides.
RULES: Final = (
    StatusRule(
        StatusReason.REPORTED_FAILED,
        RunStatus.FAILED,
        "The pipeline gave up later than it started or produced anything.",
        _is_reported_failed,
    ),
    StatusRule(
        StatusReason.ALL_APPLIED,
        RunStatus.COMPLETED,
        "Stage 5 is applied; every other stage at the source is applied or dead-lettered. A later start "
        "changes nothing: the results are there until newer ones replace them.",
        _is_complete,
    ),
    StatusRule(
        StatusReason.SOURCE_ENDS_EARLY,
        RunStatus.FAILED,
        "All that the source has is accounted for without an applied stage 5, no pipeline ever spoke of the run, "
        "and it has been quiet: nothing more will come. A dead-lettered stage 5 is missing until it is mended.",
        _source_ended_early,
    ),
    StatusRule(
        StatusReason.UNDER_WAY,
        RunStatus.RUNNING,
        "More is on its way, or may be.",
        lambda _progress, _quiet: True,
    ),
)


def standing_of(progress: RunProgress, quiet: timedelta) -> Standing:
    """Return the standing of a run; `quiet` is how long a source that ends early must have been silent."""
    rule = next(rule for rule in RULES if rule.holds(progress, quiet))
    message = None
    if rule.reason is StatusReason.REPORTED_FAILED:
        message = progress.error or "The pipeline reported a failure without saying why."
    elif rule.reason is StatusReason.SOURCE_ENDS_EARLY:
        message = _missing_sentence(progress)
    return Standing(rule.status, rule.reason, message)


def _missing_sentence(progress: RunProgress) -> str:
    missing = sorted(set(Stage) - progress.applied)
    dead = [stage for stage in missing if stage in progress.dead]
    absent = [stage for stage in missing if stage not in progress.dead]
    sentences = []
    if absent:
        sentences.append(f"The source ends early: it has no output of {_stages(absent)}.")
    if dead:
        sentences.append(f"Malformed and dead-lettered: {_stages(dead)}.")
    return " ".join(sentences)


def _stages(stages: list[Stage]) -> str:
    numbers = [str(stage.value) for stage in stages]
    if len(numbers) == 1:
        return f"stage {numbers[0]}"
    return f"stages {', '.join(numbers[:-1])} and {numbers[-1]}"
