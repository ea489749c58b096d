"""Mistakes and odd trees: a clear sentence, the right exit status, and nobody else is held back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from real_workers import Site, until

from benchmarks.tree import generate

OLD_S = 1_700_000_000
HUGE_BYTES = 100 * 1024 * 1024


def test_whatever_lies_beside_them_good_runs_are_not_held_back(site: Site) -> None:
    root = site.settings.root
    generate(root, 3)
    (root / "loop").symlink_to("loop")
    (root / "two\nlines" / "stage2").mkdir(parents=True)
    (root / "two\nlines" / "stage2" / "trends.json").write_text("{}")
    huge = root / "huge" / "stage2" / "trends.json"
    huge.parent.mkdir(parents=True)
    with huge.open("wb") as file:
        file.truncate(HUGE_BYTES)
    (root / "huge" / "stage3").mkdir()
    (root / "huge" / "stage3" / "lessons.json").write_text("{}")
    outside = site.folder / "elsewhere"
    outside.mkdir()
    (outside / "trends.json").write_text("{}")
    (root / "link").mkdir()
    (root / "link" / "stage2").symlink_to(outside)
    for path in [huge, *(root / "two\nlines").rglob("*.json"), *(root / "huge").rglob("*.json")]:
        os.utime(path, (OLD_S, OLD_S))

    ended = site.backfill("--run-workers", "1")
    assert ended.status == 1, ended.stderr
    found = ended.json
    assert found["applied"] == 3 * 5 + 1, "the good stage of the run with the huge one is applied, too"
    named = {fault["run_id"]: fault["reason"] for fault in found["unreadable"]}
    assert named.keys() == {"loop", "link", "huge", r"two\nlines"}
    for name, says in (
        ("loop", "loop"),
        ("link", "out of the root"),
        ("huge", "limit"),
        (r"two\nlines", "control"),
    ):
        assert says in named[name], named
    assert "Traceback" not in ended.stderr
    assert site.counts()["Run"] == 4


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"DATABASE_URL": "mysql://host/db"}, "DATABASE_URL"),
        ({"REDIS_URL": "http://host"}, "REDIS_URL"),
        ({"REDIS_URL": ""}, "DATABASE_URL is set and REDIS_URL is not"),
        ({"RUNFERRY_WORKER_THREADS": "many"}, "RUNFERRY_WORKER_THREADS"),
    ],
)
def test_a_worker_with_a_wrong_setting_says_so_and_ends_with_2(
    site: Site, environment: dict[str, str], says: str
) -> None:
    ended = site.command("workers.command", **environment)
    assert ended.status == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_worker_with_a_wrong_password_says_so_and_ends_with_2(site: Site) -> None:
    user, _, rest = site.database_url.partition("@")
    ended = site.command("workers.command", DATABASE_URL=f"{user}no@{rest}")
    assert ended.status == 2
    assert "refused the user" in ended.stderr


def test_a_worker_on_an_old_schema_names_the_command_and_ends_with_2(site: Site, empty_database_url: str) -> None:
    ended = site.command("workers.command", DATABASE_URL=empty_database_url)
    assert ended.status == 2
    assert "ops schema apply" in ended.stderr


def test_workers_start_in_a_folder_that_has_packages_of_the_same_names(site: Site) -> None:
    generate(site.settings.root, 2)
    pipeline = site.folder / "pipeline"
    for name in ("shared", "workers", "producers", "ops"):
        (pipeline / name).mkdir(parents=True)
        (pipeline / name / "__init__.py").write_text('raise SystemExit("the pipeline, which is not to be run")')
    command = [str(Path(sys.executable).with_name("worker")), "--processes", "1", "--scheduler"]
    with site.log.open("ab") as log:
        worker = subprocess.Popen(command, env=site.environment(), cwd=pipeline, stdout=log, stderr=log)
    try:
        assert site.backfill("--wait").status == 0, site.tail()
        until(
            lambda: site.value("SELECT bool_or(balanced) FROM runferry.reconcile_report"),
            lambda: f"a report of the scheduler; the log: {site.tail()}",
        )
    finally:
        worker.terminate()
        worker.wait(60)
    assert "not to be run" not in site.log.read_text()


@pytest.mark.long
def test_everything_from_services_to_rows_in_an_empty_folder(tmp_path: Path, site: Site) -> None:
    """What `make backfill` calls, one after the other, with no URL set."""
    generate(site.settings.root, 2)
    home = tmp_path / "own"
    own = {"DATABASE_URL": "", "REDIS_URL": "", "RUNFERRY_HOME": str(home)}
    try:
        started = site.command("ops.command", "services", "start", "--quiet", **own)
        assert (started.status, started.stdout) == (0, ""), started.stderr
        applied = site.command("ops.command", "schema", "apply", **own)
        assert applied.status == 0, applied.stderr
        ended = site.backfill("--run-workers", "1", **own)
        assert ended.status == 0, ended.stderr
        assert (ended.json["applied"], ended.json["dead_lettered"]) == (10, 0)
        assert ended.stderr.count(f"writing to the embedded database at {home}") == 2
        assert site.command("ops.command", "services", "status", **own).status == 0
    finally:
        stopped = site.command("ops.command", "services", "stop", **own)
    assert stopped.status == 0, stopped.stderr
    until(lambda: site.command("ops.command", "services", "status", **own).status == 1, "stopped services")
