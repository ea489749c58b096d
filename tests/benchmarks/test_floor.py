"""The floor is measured over work that is really done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_part_is_measured_and_every_run_is_carried() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.floor", "--runs", "60", "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert list(found) == [
        "publish", "queue", "decode", "judge", "plan", "write", "postgres", "redis", "runs_per_s",
    ]  # fmt: skip
    assert all(value > 0 for name, value in found.items() if name not in ("postgres", "redis"))
    assert found["judge"] > found["decode"]
