"""The table from knowledge to status, line by line and as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.ids import Stage
from shared.mapping.run_row import RunStatus
from shared.mapping.run_standing import RULES, RunProgress, StatusReason, standing_of

START = datetime(2025, 10, 7, 12, 0, tzinfo=UTC)
LATER = START + timedelta(seconds=1)
QUIET = timedelta(hours=24)
ALL = frozenset(Stage)


def _stages(*numbers: int) -> frozenset[Stage]:
    return frozenset(Stage(number) for number in numbers)


def _standing(**progress: Any) -> tuple[RunStatus, StatusReason]:
    found = standing_of(RunProgress(**progress), QUIET)
    return found.status, found.reason


COMPLETED = (RunStatus.COMPLETED, StatusReason.ALL_APPLIED)
RUNNING = (RunStatus.RUNNING, StatusReason.UNDER_WAY)
REPORTED = (RunStatus.FAILED, StatusReason.REPORTED_FAILED)
ENDED = (RunStatus.FAILED, StatusReason.SOURCE_ENDS_EARLY)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        ({}, RUNNING),
        ({"applied": ALL, "at_source": ALL}, COMPLETED),
        ({"applied": _stages(5), "at_source": _stages(5)}, COMPLETED),
        ({"applied": _stages(5)}, COMPLETED),
        ({"applied": _stages(1, 2, 4, 5), "dead": _stages(3), "at_source": ALL}, COMPLETED),
        ({"applied": _stages(1, 2, 4, 5), "at_source": ALL, "idle": QUIET}, RUNNING),
        ({"applied": _stages(1, 2, 3, 4), "dead": _stages(5), "at_source": ALL}, RUNNING),
        ({"applied": _stages(1, 2, 3, 4), "dead": _stages(5), "at_source": ALL, "idle": QUIET}, ENDED),
        ({"applied": _stages(1), "at_source": _stages(1), "idle": QUIET}, ENDED),
        ({"applied": _stages(1), "at_source": _stages(1), "idle": QUIET - timedelta(microseconds=1)}, RUNNING),
        ({"applied": _stages(1), "at_source": _stages(1, 2), "idle": QUIET * 100}, RUNNING),
        ({"applied": _stages(1), "at_source": _stages(1), "idle": QUIET, "has_pipeline_event": True}, RUNNING),
        ({"applied": _stages(1), "idle": QUIET}, RUNNING),
        ({"failed_at": START, "has_pipeline_event": True}, REPORTED),
        ({"failed_at": START, "started_at": LATER, "has_pipeline_event": True}, RUNNING),
        ({"failed_at": LATER, "started_at": START, "has_pipeline_event": True}, REPORTED),
        ({"failed_at": START, "applied": _stages(3), "last_applied_at": LATER}, RUNNING),
        ({"failed_at": LATER, "applied": ALL, "at_source": ALL, "last_applied_at": START}, REPORTED),
        ({"failed_at": START, "applied": ALL, "at_source": ALL, "last_applied_at": LATER}, COMPLETED),
        ({"started_at": LATER, "applied": ALL, "at_source": ALL, "last_applied_at": START}, COMPLETED),
    ],
)
def test_each_kind_of_run_has_its_standing(
    progress: dict[str, Any], expected: tuple[RunStatus, StatusReason]
) -> None:
    assert _standing(**progress) == expected


def _subsets() -> Iterator[frozenset[Stage]]:
    for size in range(len(Stage) + 1):
        yield from map(frozenset, itertools.combinations(Stage, size))


def test_every_combination_of_stages_stands_where_the_design_says() -> None:
    for applied, dead, at_source in itertools.product(_subsets(), _subsets(), _subsets()):
        for has_pipeline_event, idle in itertools.product((False, True), (timedelta(0), QUIET)):
            found = _standing(
                applied=applied, dead=dead, at_source=at_source, has_pipeline_event=has_pipeline_event, idle=idle
            )
            is_all_there = at_source <= applied | dead
            if Stage.OPPORTUNITIES in applied and is_all_there:
                assert found == COMPLETED
            elif at_source and is_all_there and not has_pipeline_event and idle >= QUIET:
                assert found == ENDED
            else:
                assert found == RUNNING


def test_one_more_applied_stage_never_takes_a_completed_run_back() -> None:
    for applied, dead, at_source in itertools.product(_subsets(), _subsets(), _subsets()):
        if _standing(applied=applied, dead=dead, at_source=at_source) == COMPLETED:
            for stage in Stage:
                assert _standing(applied=applied | {stage}, dead=dead, at_source=at_source) == COMPLETED


@pytest.mark.parametrize(
    ("applied", "dead", "message"),
    [
        (_stages(1, 2, 3, 4), (), "The source ends early: it has no output of stage 5."),
        (_stages(1), (), "The source ends early: it has no output of stages 2, 3, 4 and 5."),
        (_stages(1, 2, 3, 4), _stages(5), "Malformed and dead-lettered: stage 5."),
        (
            _stages(1, 2),
            _stages(3),
            "The source ends early: it has no output of stages 4 and 5. Malformed and dead-lettered: stage 3.",
        ),
    ],
)
def test_a_source_that_ends_early_names_the_missing_stages(
    applied: frozenset[Stage], dead: frozenset[Stage], message: str
) -> None:
    progress = RunProgress(applied=applied, dead=frozenset(dead), at_source=applied | frozenset(dead), idle=QUIET)
    assert standing_of(progress, QUIET).error_message == message


def test_a_reported_failure_gives_its_error_and_a_silent_one_says_so() -> None:
    assert standing_of(RunProgress(failed_at=START, error="boom"), QUIET).error_message == "boom"
    silent = standing_of(RunProgress(failed_at=START), QUIET).error_message
    assert silent == "The pipeline reported a failure without saying why."


def test_every_reason_has_one_rule_and_the_last_rule_always_holds() -> None:
    assert [rule.reason for rule in RULES] == list(StatusReason)
    assert RULES[-1].holds(RunProgress(), QUIET)
    assert all(rule.why for rule in RULES)
