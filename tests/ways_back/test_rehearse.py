"""`ops rehearse`: the journey, in scratch databases alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from ways_back_bench import Installation

from ops.rehearse.commands import StepFailedError
from ops.rehearse.journey import Journey
from shared.mapping.manifest import sha256_of
from shared.run_folders.listing import list_runs


def databases(installation: Installation) -> set[str]:
    """The scratch databases of this installation that are there."""
    (live,) = installation.bench.rows("SELECT oid FROM pg_database WHERE datname = current_database()")
    prefix = f"runferry_rehearsal_{live['oid']}_"
    return {
        row["datname"]
        for row in installation.bench.rows("SELECT datname FROM pg_database")
        if row["datname"].startswith(prefix)
    }


@pytest.mark.long
def test_a_rehearsal_touches_nothing_that_lives_and_clears_up_after_a_killed_one(
    installation: Installation, other_databases: Callable[[str], str]
) -> None:
    installation.migrate("live-run")
    for number in range(2):
        installation.document(f"run-{number}", 1, "inspiration-analysis.md", b"# A\n")
        installation.document(f"run-{number}", 4, "context.json", b'{"brand_id": "maple-dairy", "n": -0.0}')
    installation.document("run-0", 2, "trend-analysis.md", "# Trends – Ünïcode\n".encode())
    installation.document("run-1", 3, "lessons.json", b"{broken")
    (live,) = installation.bench.rows("SELECT oid FROM pg_database WHERE datname = current_database()")
    other_databases(f"runferry_rehearsal_{live['oid']}_")
    files = _files(installation)
    rows = installation.tables()
    ledger = installation.bench.rows("SELECT * FROM runferry.ledger")
    with redis.Redis.from_url(installation.environment["REDIS_URL"]) as client:
        client.set("somebody's", "own")
        keys = sorted(client.keys("*"))

    killed = subprocess.Popen(
        [sys.executable, "-m", "ops.command", "rehearse", "--all"],
        env=os.environ | installation.environment,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not databases(installation):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        threading.Event().wait(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert databases(installation)

    ended = installation.ops("rehearse", "--all", "--run-workers", "1", "--json", expect=None)

    assert ended.status == 0, ended.stderr
    assert ended.json["passed"]
    assert ended.json["cleared"] == 1
    assert [step["step"] for step in ended.json["steps"]] == [
        "copy the run folders",
        "apply the schema",
        "backfill",
        "reconcile",
        "export",
        "back up",
        "roll back",
        "restore",
        "reconcile what was restored",
    ]
    assert databases(installation) == set()
    assert list((installation.settings.home / "rehearsals").iterdir()) == []
    with redis.Redis.from_url(installation.environment["REDIS_URL"]) as client:
        assert sorted(client.keys("*")) == keys
    assert _files(installation) == files
    assert installation.tables() == rows
    assert installation.bench.rows("SELECT * FROM runferry.ledger") == ledger
    kept = installation.bench.rows("SELECT passed, steps, finished_at FROM runferry.rehearsal ORDER BY id")
    assert [one["passed"] for one in kept] == [None, True]
    assert json.loads(kept[1]["steps"]) == ended.json["steps"]


def test_a_step_that_fails_is_named_and_the_scratch_goes(installation: Installation) -> None:
    installation.document("run-0", 1, "inspiration-analysis.md", b"# A\n")
    for path in installation.settings.root.rglob("*.md"):
        path.unlink()
    ended = installation.ops("rehearse", "--all", "--json", expect=1).json
    assert not ended["passed"]
    assert [(step["step"], step["passed"]) for step in ended["steps"]][-1] == ("backfill", False)
    assert databases(installation) == set()
    (kept,) = installation.bench.rows("SELECT passed FROM runferry.rehearsal")
    assert kept == {"passed": False}


def test_two_rehearsals_at_once_are_refused(installation: Installation) -> None:
    installation.document("run-0", 1, "inspiration-analysis.md", b"# A\n")

    async def hold() -> str:
        connection = await asyncpg.connect(installation.bench.dsn)
        try:
            await connection.execute("SELECT pg_advisory_lock(hashtextextended('runferry.rehearsal', 0))")
            ended = await asyncio.to_thread(installation.ops, "rehearse", "--all", expect=2)
            return ended.stderr
        finally:
            await connection.close()

    assert "Another rehearsal" in asyncio.run(hold())


def test_a_root_that_is_not_there_is_told_before_anything_begins(installation: Installation) -> None:
    ended = installation.ops("rehearse", "--root", installation.folder / "nowhere", expect=2)
    assert "does not exist" in ended.stderr
    assert installation.bench.rows("SELECT FROM runferry.rehearsal") == []


def _files(installation: Installation) -> dict[str, tuple[str, int, int]]:
    root = installation.settings.root
    assert list(list_runs(root, 1 << 23))
    return {
        str(path.relative_to(root)): (
            sha256_of(path.read_bytes()),
            path.stat().st_mtime_ns,
            path.stat().st_ctime_ns,
        )
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_report_that_is_not_balanced_is_told_with_what_is_gravest_in_it() -> None:
    report = {
        "balanced": False,
        "outputs_on_disk": 3,
        "verdicts": {"match": 2, "unreadable": 1},
        "named": [{"run_id": "run\x1b", "stage": 0, "verdict": "unreadable", "detail": "A control character."}],
    }

    class Unbalanced(Journey):
        async def _run(self, *_: object, **__: object) -> Any:
            return report

    nothing: Any = None
    journey = Unbalanced(*[nothing] * 4, progress=nothing, root=Path(), sample=None, workers=1)
    with pytest.raises(StepFailedError) as failed:
        asyncio.run(journey._balanced("x"))
    assert str(failed.value) == (
        "not balanced: 3 outputs on disk: 2 match, 1 unreadable; run␛: unreadable: A control character."
    )
