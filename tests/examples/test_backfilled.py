"""The examples, carried: what the backfill says in the end is what their README promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def backfill(database_url: str, redis_url: str, tmp_path: Path) -> Any:
    """A call of `producer backfill` on the examples, to the end; it returns the summary."""

    def call() -> Mapping[str, Any]:
        ended = subprocess.run(
            [
                *(
                    str(Path(sys.executable).parent / "producer"),
                    "backfill",
                    "--all",
                    "--root",
                    str(EXAMPLES / "runs"),
                ),
                *("--settle", "0s", "--run-workers", "2", "--json"),
            ],
            env=os.environ
            | {
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "RUNFERRY_HOME": str(tmp_path / "home"),
                "YES": "1",
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        summary: Mapping[str, Any] = json.loads(ended.stdout)
        return summary

    return call


@pytest.mark.long
def test_a_backfill_ends_as_the_readme_says_and_a_second_one_changes_nothing(backfill: Any, outcomes: Any) -> None:
    outputs = sum(len(stages) for stages in outcomes.values())
    dead = {
        (run_id, stage)
        for run_id, stages in outcomes.items()
        for stage, outcome in stages.items()
        if outcome.reason
    }
    gaps = {
        (run_id, stage, gap.text)
        for run_id, stages in outcomes.items()
        for stage, outcome in stages.items()
        if outcome.mapped
        for gap in outcome.mapped.gaps
    }
    first = backfill()
    assert (first["runs"], first["outputs"]) == (len(outcomes), outputs)
    assert (first["applied"], first["duplicates"]) == (outputs - len(dead), 0)
    assert first["dead_lettered"] == len(dead)
    assert {(gap["run_id"], gap["stage"], gap["gap"]) for gap in first["gaps"]} == gaps
    assert (first["unsettled"], first["unreadable"]) == (0, [])

    second = backfill()
    assert (second["applied"], second["duplicates"]) == (0, outputs - len(dead))
    assert second["dead_lettered"] == len(dead)
