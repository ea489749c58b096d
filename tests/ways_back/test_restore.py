"""`ops restore`: what comes back, and that nothing is overwritten without a word."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from real_workers import until
from ways_back_bench import Installation, whole_run
from writing_bench import BROKEN, outputs

from ops.backup import manifest as parts
from ops.backup.progress import StepProgress
from ops.restore import databases, extraction, restore
from ops.restore.restore import RestoreOptions
from shared.database_url import DatabaseAddress
from shared.run_folders.scanner import Scanner
from shared.run_folders.stage_folder import Limits

#: Times whose last digits a float would lose.
ODD_NS = 1_700_000_000_123_457_891


def test_a_destroyed_database_comes_back_with_equal_hashes(
    installation: Installation, empty_database_url: str
) -> None:
    installation.migrate("run-a", "run-b")
    installation.bench.write(outputs("run-c", (1, BROKEN, 0)))
    before = installation.bench.rows("SELECT * FROM runferry.dead_letter")
    tables = installation.tables()
    folder = installation.backup("--no-files")

    ended = installation.ops("restore", folder, "--json", DATABASE_URL=empty_database_url).json

    assert ended["equal"]
    assert ended["differences"] == []
    restored = installation.on(DatabaseAddress.parse(empty_database_url).database)
    assert restored.rows("SELECT * FROM runferry.dead_letter") == before
    rows = restored.rows('SELECT t::text AS row FROM "OpportunityCard" AS t ORDER BY 1')
    assert [row["row"] for row in rows] == tables["OpportunityCard"]
    (remembered,) = restored.rows("SELECT restored_at FROM runferry.backup")
    assert remembered["restored_at"] > datetime(2026, 1, 1, tzinfo=UTC)
    assert installation.ops("schema", "verify", DATABASE_URL=empty_database_url).status == 0


def test_writers_go_on_where_the_backup_ended(installation: Installation, empty_database_url: str) -> None:
    installation.migrate("run-a")
    folder = installation.backup("--no-files")
    installation.migrate("run-b")
    installation.ops("restore", folder, DATABASE_URL=empty_database_url)

    restored = installation.on(DatabaseAddress.parse(empty_database_url).database)
    again, new = restored.write(whole_run("run-a"), whole_run("run-b"))
    assert set(again.values()) == {"duplicate"}
    assert set(new.values()) == {"applied"}
    restored.write(outputs("run-c", (1, BROKEN, 0)))


def test_a_database_with_anything_in_it_is_refused(installation: Installation) -> None:
    installation.migrate("run-a")
    folder = installation.backup("--no-files")
    tables = installation.tables()

    ended = installation.ops("restore", folder, expect=2)

    assert "is not empty" in ended.stderr
    assert "--into NEWNAME" in ended.stderr
    assert f"--overwrite {installation.database}" in ended.stderr
    assert installation.tables() == tables


def test_into_makes_a_database_and_takes_an_empty_one(
    installation: Installation, other_databases: Callable[[str], str]
) -> None:
    installation.migrate("run-a")
    folder = installation.backup("--no-files")
    name = other_databases(f"{installation.database}_copy")

    assert installation.ops("restore", folder, "--into", name, "--json").json["equal"]
    assert installation.on(name).rows('SELECT id FROM "Run"') == [{"id": "run-a"}]
    assert installation.bench.rows("SELECT restored_at IS NOT NULL AS told FROM runferry.backup") == [
        {"told": True}
    ]
    assert "choose another name" in installation.ops("restore", folder, "--into", name, expect=2).stderr


def test_overwrite_swaps_in_what_was_verified_and_keeps_what_was_there(
    installation: Installation, other_databases: Callable[[str], str]
) -> None:
    installation.migrate("run-a")
    folder = installation.backup("--no-files")
    installation.migrate("run-b")
    other_databases(f"{installation.database}_")
    assert (
        "say the one that is meant twice"
        in installation.ops("restore", folder, "--overwrite", "x", expect=2).stderr
    )

    ended = installation.ops("restore", folder, "--overwrite", installation.database, "--json").json

    assert installation.bench.rows('SELECT id FROM "Run"') == [{"id": "run-a"}]
    kept = installation.on(ended["kept_as"])
    assert kept.rows('SELECT id FROM "Run" ORDER BY 1') == [{"id": "run-a"}, {"id": "run-b"}]


@pytest.mark.parametrize("lost", [False, True], ids=["overwritten", "database lost"])
def test_the_phase_that_is_in_force_stays_in_force(
    installation: Installation, other_databases: Callable[[str], str], empty_database_url: str, lost: bool
) -> None:
    installation.migrate("run-a")
    installation.ops("phase", "set", "dual-write")
    folder = installation.backup("--no-files")
    installation.ops("phase", "set", "files-only", "--why", "an incident")
    other_databases(f"{installation.database}_")

    where = {"DATABASE_URL": empty_database_url} if lost else {}
    words = [] if lost else ["--overwrite", installation.database]
    ended = installation.ops("restore", folder, *words, "--json", **where).json

    assert ended["equal"]
    assert ended["phase"] == {"kept": "files-only", "in_backup": "dual-write"}
    shown = installation.ops("phase", "show", "--json", **where).json
    assert (shown["phase"], shown["in_history"]) == ("files-only", True)
    assert "an incident" in shown["history"][0]["why"] or lost
    assert [change["phase"] for change in shown["history"]] == ["files-only", "dual-write"]


def test_a_phase_that_the_backup_has_as_well_is_left_alone(
    installation: Installation, other_databases: Any
) -> None:
    installation.ops("phase", "set", "dual-write")
    folder = installation.backup("--no-files")
    other_databases(f"{installation.database}_")
    assert (
        installation.ops("restore", folder, "--overwrite", installation.database, "--json").json["phase"] is None
    )
    assert len(installation.ops("phase", "show", "--json").json["history"]) == 1


def test_a_table_that_differs_after_all_is_named(
    installation: Installation, other_databases: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.migrate("run-a")
    folder = installation.backup("--no-files")
    name = other_databases(f"{installation.database}_copy")
    filled = restore.run_program

    async def lose_a_star(program, arguments, address, meanwhile):  # type: ignore[no-untyped-def]
        await filled(program, arguments, address, meanwhile)
        connection = await restore.connect(
            restore.on_database(restore.database_address(installation.settings), name), installation.settings
        )
        await connection.execute('UPDATE "OpportunityCard" SET starred = true WHERE number = 2')
        await connection.close()

    monkeypatch.setattr(restore, "run_program", lose_a_star)
    ended = installation.ops("restore", folder, "--into", name, "--json", expect=1).json
    assert ended["differences"] == ["public.OpportunityCard has as many rows (5), but other ones"]


def test_a_killed_restore_leaves_an_empty_database_and_the_next_one_fills_it(
    installation: Installation, other_databases: Callable[[str], str]
) -> None:
    installation.migrate(*(f"run-{number}" for number in range(30)))
    folder = installation.backup("--no-files")
    name = other_databases(f"{installation.database}_copy")
    restoring = subprocess.Popen(
        [sys.executable, "-m", "ops.command", "restore", folder, "--into", name],
        env=os.environ | installation.environment,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not installation.bench.rows("SELECT FROM pg_database WHERE datname = $1", name):
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)
    restoring.send_signal(signal.SIGKILL)
    restoring.wait()
    # pg_restore outlives its parent for a moment, and is one transaction.
    while installation.bench.rows("SELECT FROM pg_stat_activity WHERE datname = $1", name):
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)

    if not installation.on(name).rows("SELECT to_regclass('runferry.ledger') AS there")[0]["there"]:
        assert installation.ops("restore", folder, "--into", name, "--json").json["equal"]
    assert len(installation.on(name).rows('SELECT FROM "Run"')) == 30


def test_run_folders_come_back_with_their_times_to_the_nanosecond(
    installation: Installation, tmp_path: Path
) -> None:
    installation.document("run-a", 2, "trend-analysis.md", "# Über\n".encode(), at_ns=ODD_NS)
    installation.document("run-a", 4, "context.json", b"{}")
    (installation.settings.root / "run-a" / "link").symlink_to("stage2")
    (installation.settings.root / "run-a" / "out").symlink_to("/etc")
    (installation.settings.root / "batch-summary.md").write_text("beside the runs")
    folder = installation.backup()

    into = f"{installation.database}_files"
    restored = tmp_path / "restored"
    ended = installation.ops("restore", folder, "--into", into, "--files-to", restored, "--json").json
    installation.bench.execute(f'DROP DATABASE "{into}"')

    assert ended["files"] == 3
    document = restored / "run-a" / "stage2" / "trend-analysis.md"
    assert document.stat().st_mtime_ns == ODD_NS
    assert (restored / "run-a" / "link").readlink() == Path("stage2")
    assert (restored / "batch-summary.md").read_text() == "beside the runs"
    before, after = (
        [run.outputs for run in Scanner(root, Limits(0, 1 << 23)).runs() if run.outputs]
        for root in (installation.settings.root, restored)
    )
    assert before == after
    refused = installation.ops("restore", folder, "--into", into, "--files-to", restored, expect=2)
    assert "is not empty" in refused.stderr


def test_the_outbox_is_saved_and_comes_back(installation: Installation, tmp_path: Path) -> None:
    outbox = installation.settings.home / "outbox"
    outbox.mkdir(parents=True)
    (outbox / "entry").write_bytes(b"{}")
    folder = installation.backup("--no-files")
    into = f"{installation.database}_outbox"
    ended = installation.ops("restore", folder, "--into", into, "--outbox-to", tmp_path / "outbox", "--json").json
    installation.bench.execute(f'DROP DATABASE "{into}"')
    assert ended["outbox_files"] == 1
    assert (tmp_path / "outbox" / "entry").read_bytes() == b"{}"
    assert (
        "was made without run folders"
        in installation.ops("restore", folder, "--into", into, "--files-to", tmp_path / "x", expect=2).stderr
    )


def test_a_folder_that_is_no_backup_is_told_so(installation: Installation) -> None:
    ended = installation.ops("restore", installation.folder, "--into", "never", expect=2)
    assert "is no backup" in ended.stderr
    assert ".." not in ended.stderr


def test_a_folder_of_backups_is_told_with_the_newest_of_them(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "20261122T233301Z").mkdir()
    (tmp_path / "20261123T233301Z").mkdir()
    ended = installation.ops("restore", tmp_path, "--into", "never", expect=2)
    assert f"the newest is {tmp_path / '20261123T233301Z'}." in ended.stderr


@pytest.mark.parametrize("option", ["--into", "--overwrite"])
def test_an_empty_name_is_not_taken_for_none(
    installation: Installation, empty_database_url: str, option: str
) -> None:
    installation.migrate("run-a")
    folder = installation.backup("--no-files")
    installation.ops("restore", folder, option, "", expect=2, DATABASE_URL=empty_database_url)
    restored = installation.on(DatabaseAddress.parse(empty_database_url).database)
    assert restored.rows("SELECT to_regclass('runferry.ledger') AS there") == [{"there": None}]


def test_files_that_can_not_be_extracted_leave_neither_a_database_nor_half_a_folder(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.migrate("run-a")
    for number in range(3):
        installation.document(f"run-{number}", 2, "trend-analysis.md", b"# Trends\n")
    folder = installation.backup()
    before = installation.tables()
    files = tmp_path / "volume" / "files"
    taken = 0

    def full(path: Path, member: object) -> None:
        nonlocal taken
        taken += 1
        if taken == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(extraction, "_set_time", full)
    for way in (("--into", f"{installation.database}_full"), ("--overwrite", installation.database)):
        taken = 0
        ended = installation.ops("restore", folder, *way, "--files-to", files, expect=2)
        assert "No space left on device" in ended.stderr
        assert not files.exists()
        assert installation.tables() == before
        names = [row["datname"] for row in installation.bench.rows("SELECT datname FROM pg_database")]
        assert [name for name in names if name.startswith(f"{installation.database}_")] == []


def test_what_a_killed_extraction_left_is_no_run_folder_and_is_cleared_away(
    installation: Installation, tmp_path: Path, other_databases: Callable[[str], str]
) -> None:
    installation.document("run-a", 2, "trend-analysis.md", b"# Trends\n")
    folder = installation.backup()
    # Such as a mounted volume: it is there, and can't be replaced.
    files = tmp_path / "volume"
    (files / ".restoring-1" / "run-z" / "stage2").mkdir(parents=True)
    (files / ".restoring-1" / "run-z" / "stage2" / "trend-analysis.md").write_text("half")
    assert list(Scanner(files, Limits(0, 1 << 23)).runs()) == []

    into = other_databases(f"{installation.database}_copy")
    installation.ops("restore", folder, "--into", into, "--files-to", files)

    assert [path.name for path in files.iterdir()] == ["run-a"]
    nested = ("--files-to", tmp_path / "x", "--outbox-to", tmp_path / "x" / "y")
    (installation.settings.home / "outbox").mkdir(parents=True)
    both = installation.backup()
    assert "neither inside" in installation.ops("restore", both, "--into", into, *nested, expect=2).stderr


def test_a_killed_overwrite_leaves_the_database_as_it_was_and_the_next_one_clears_up(
    installation: Installation, other_databases: Callable[[str], str]
) -> None:
    installation.migrate(*(f"run-{number}" for number in range(10)))
    folder = installation.backup("--no-files")
    installation.migrate("run-new")
    before = installation.tables()
    prefix = other_databases(f"{installation.database}_")

    def beside() -> list[str]:
        names = [row["datname"] for row in installation.bench.rows("SELECT datname FROM pg_database")]
        return [name for name in names if name.startswith(f"{prefix}restoring")]

    restoring = subprocess.Popen(
        [sys.executable, "-m", "ops.command", "restore", folder, "--overwrite", installation.database],
        env=os.environ | installation.environment,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: beside() and installation.bench.rows(MARKED), "a database that is being filled")
    restoring.send_signal(signal.SIGKILL)
    restoring.wait()
    assert installation.tables() == before
    assert len(beside()) == 1

    installation.ops("restore", folder, "--overwrite", installation.database)
    assert beside() == []
    assert len(installation.bench.rows('SELECT FROM "Run"')) == 10
    assert installation.bench.rows(MARKED) == []


def test_an_overwrite_clears_what_was_left_for_its_own_database_and_never_for_one_with_a_similar_name(
    installation: Installation, other_databases: Callable[[str], str]
) -> None:
    mine = other_databases(f"{installation.database}_")
    long = mine + "x" * 30
    one, other, odd = f"{long}_one", f"{long}_other", f"{long}_o'n\\e"
    short = f"{mine}s"
    longer = f"{short}_restoring_it"
    old = "COMMENT ON DATABASE \"{}\" IS 'runferry: a restore is under way'"

    async def left(*cleared: str) -> list[str]:
        address = DatabaseAddress.parse(installation.url)
        async with databases.administration(address, installation.settings) as connection:
            for name in (one, other, odd, short, longer):
                filled = databases.suffixed(name, "_restoring_20260101120000")
                assert len(filled.encode()) <= 63
                await databases.create(connection, filled)
                await databases.mark(connection, filled, name)
            for earlier in (f"{short}_restoring_20250101120000", f"{longer}_restoring_20250101120000"):
                await databases.create(connection, earlier)
                await connection.execute(old.format(earlier))
            for name in cleared:
                await databases.clear_unfinished(connection, name)
            return sorted(name for name in await databases.names(connection) if name.startswith(mine))

    assert asyncio.run(left(one, odd, short)) == sorted(
        [
            databases.suffixed(other, "_restoring_20260101120000"),
            databases.suffixed(longer, "_restoring_20260101120000"),
            f"{longer}_restoring_20250101120000",
        ]
    )


MARKED = "SELECT FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE 'runferry: %'"


def test_an_interrupted_extraction_ends_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "backup"
    source.mkdir()
    with tarfile.open(source / parts.RUNS, "w:gz") as tar:
        for number in range(3):
            tar.addfile(tarfile.TarInfo(f"run-{number}"))
    begun, interrupted = threading.Event(), threading.Event()

    class Watched(StepProgress):
        def update(self, done: int) -> None:
            begun.set()
            assert interrupted.wait(30)

    async def restoring() -> None:
        async with restore._extracted(RestoreOptions(source, files_to=tmp_path / "runs"), Watched()):
            raise AssertionError("it was interrupted before")

    async def interrupt() -> None:
        task = asyncio.create_task(restoring())
        assert await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        interrupted.set()

    asyncio.run(interrupt())  # it waits for its threads
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("a" * 62 + "1", "a" * 62 + "2"), ("a" * 38, "a" * 39), ("a" * 39, "a" * 40), ("ä" * 31, "ä" * 30)],
)
def test_databases_whose_names_begin_alike_never_have_copies_of_the_same_name(one: str, other: str) -> None:
    copies = {databases.suffixed(name, "_restoring_20260101120000") for name in (one, other)}
    assert len(copies) == 2
    assert all(len(copy.encode()) <= 63 for copy in copies)
