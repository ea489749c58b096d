"""The report for people: what stands together, in which order, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ops.reconcile.options import ReconcileOptions
from ops.reconcile.report import Ending, text
from ops.reconcile.tally import Tally
from shared.ids import RunId
from shared.reconciling.slices import Named
from shared.reconciling.verdicts import Standing


@pytest.fixture
def tally() -> Iterator[Tally]:
    with closing(Tally()) as tally:
        yield tally


def report(tally: Tally) -> list[str]:
    return list(text(ReconcileOptions(root=Path("runs"), settle_s=10, worker_timeout_s=60), tally, Ending(1, 1.0)))


def name(tally: Tally, run_id: str, stage: int, verdict: Standing, detail: str = "") -> None:
    tally.name(Named(RunId(run_id), stage, verdict, detail=detail, content_sha256=f"{run_id}{stage}"))


def test_what_is_named_stands_by_run_and_stage_whatever_order_workers_answered_in(tally: Tally) -> None:
    for run_id, stage, detail in (
        ("run-b", 2, "Gone."),
        ("run-a", 3, "Gone."),
        ("run-a", 1, "Gone."),
        ("run-a", 2, "Other."),
    ):
        name(tally, run_id, stage, Standing.MISSING, detail)
    shown = [line for line in report(tally) if line.startswith("  run-")]
    assert shown == [
        "  run-a stage 1: missing: Gone.",
        "  run-a stage 2: missing: Other.",
        "  run-a stage 3: missing: Gone.",
        "  run-b stage 2: missing: Gone.",
    ]


def test_stages_of_which_the_same_is_said_share_a_line_and_rows_of_another_root_take_three(tally: Tally) -> None:
    for run in range(20):
        for stage in range(1, 6):
            name(tally, f"run-{run:02}", stage, Standing.ROW_WITHOUT_FILES, "Sent by backfill.")
    lines = report(tally)
    assert "  run-00 stages 1, 2, 3, 4, 5: row_without_files: Sent by backfill." in lines
    assert "  … and 85 more that are row_without_files; all of them: --json" in lines


def test_what_cannot_be_read_is_told_with_the_way_out(tally: Tally) -> None:
    tally.listed, tally.answers[Standing.UNREADABLE] = 1, 1
    name(tally, "run-a", 0, Standing.UNREADABLE)
    assert any(line.startswith("What is not readable is mended on disk") for line in report(tally))
