"""The command that compares contenders, small; the others run in tests/benchmarks/test_performance.py."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.measured_command import REPOSITORY, clean_environment


@pytest.mark.long
def test_the_benchmark_measures_the_contenders_that_it_is_asked_for() -> None:
    names = ["sequential", "copy_by_two"]
    only = [word for name in names for word in ("--only", name)]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.backfill", "--runs", "12", "--rounds", "1", "--json", *only],
        cwd=REPOSITORY,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert list(document["medians"]) == names
    assert document["ratios"] == {}
    assert set(document["medians"]["copy_by_two"]["cpu_ms_per_run"]) == {"client", "postgres", "redis"}
