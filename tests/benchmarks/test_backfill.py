"""The benchmark itself, small: every contender runs, and none loses a row."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.contenders import CONTENDERS
from benchmarks.measured_command import REPOSITORY, clean_environment


@pytest.mark.long
def test_the_benchmark_measures_every_contender() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.backfill", "--runs", "12", "--rounds", "1", "--json"],
        cwd=REPOSITORY,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert set(document["medians"]) == set(CONTENDERS)
    assert set(document["ratios"]) == {f"runferry/{name}" for name in CONTENDERS if name != "runferry"}
    assert set(document["medians"]["runferry"]["cpu_ms_per_run"]) == {"client", "workers", "postgres", "redis"}
