"""`ops backup`: what is in it, and that half of one never looks like a whole one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest
from ways_back_bench import Installation, whole_run
from writing_bench import BROKEN, outputs

from ops.backup import programs
from ops.backup.archive import archive_folder
from ops.backup.programs import Program
from shared import embedded
from shared.embedded import EmbeddedServices


def test_a_backup_says_what_it_holds(installation: Installation) -> None:
    installation.migrate("run-a", "run-b")
    installation.bench.write(outputs("run-c", (1, BROKEN, 0)))
    installation.document("run-a", 2, "trend-analysis.md", b"# Trends\n")

    made = installation.ops("backup", "--to", installation.backups, "--json").json

    assert made["position"]["entries"] == 8
    assert made["position"]["open_dead_letters"] == 1
    rows = {f"{table['schema']}.{table['name']}": table["rows"] for table in made["tables"]}
    assert rows["public.OpportunityCard"] == 10
    assert rows["runferry.ledger"] == 8
    assert rows["runferry.dead_letter"] == 1
    assert {part["name"] for part in made["parts"]} == {"database.dump", "runs.tar.gz", "dead-queue.ndjson"}
    assert made["runs"]["files"] == 1
    assert made["incomplete"] == []
    folder = Path(made["folder"])
    assert json.loads((folder / "manifest.json").read_text())["name"] == folder.name
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [folder, *folder.glob("*.*z")]] == [0, 0]
    (remembered,) = installation.bench.rows("SELECT folder, verified_at FROM runferry.backup")
    assert remembered == {"folder": str(folder), "verified_at": None}


def test_equal_rows_have_equal_hashes_whatever_their_order_on_disk(installation: Installation) -> None:
    installation.migrate("run-a", "run-b")
    before = installation.ops("backup", "--to", installation.backups, "--json").json["tables"]
    installation.bench.execute('UPDATE "OpportunityCard" SET starred = starred')
    installation.bench.execute('VACUUM FULL "OpportunityCard"')
    after = installation.ops("backup", "--to", installation.backups, "--json").json["tables"]
    installation.bench.execute(
        """UPDATE "OpportunityCard" SET starred = true WHERE "runId" = 'run-a' AND number = 1"""
    )
    edited = installation.ops("backup", "--to", installation.backups, "--json").json["tables"]

    def of_cards(tables: list[dict[str, object]]) -> object:
        return next(table["sha256"] for table in tables if table["name"] == "OpportunityCard")

    assert of_cards(before) == of_cards(after)
    assert of_cards(after) != of_cards(edited)


def test_damage_to_any_part_is_found(installation: Installation) -> None:
    installation.migrate("run-a")
    sound = installation.backup("--no-files")
    damaged = installation.backup("--no-files")
    dump = damaged / "database.dump"
    dump.write_bytes(dump.read_bytes()[:-1] + b"x")

    ended = installation.ops("backup", "--to", installation.backups, "--verify", "--json", expect=1)

    assert {Path(one["folder"]): one["sound"] for one in ended.json} == {sound: True, damaged: False}
    assert (
        installation.ops("restore", damaged, "--into", "never", expect=2).stderr.count("can't be relied on") == 1
    )
    verified = installation.bench.rows("SELECT folder FROM runferry.backup WHERE verified_at IS NOT NULL")
    assert verified == [{"folder": str(sound)}]


def test_a_killed_backup_leaves_nothing_that_looks_whole(installation: Installation) -> None:
    installation.migrate("run-a")
    for number in range(2_000):
        installation.document(f"run-{number}", 2, "trend-analysis.md", os.urandom(2_000))
    backing_up = _start(installation)
    deadline = time.monotonic() + 60
    while not list(installation.backups.glob(".making-*/runs.tar.gz")):
        assert time.monotonic() < deadline
        assert backing_up.poll() is None
        threading.Event().wait(0.005)
    backing_up.send_signal(signal.SIGKILL)
    backing_up.wait()

    assert installation.ops("backup", "--to", installation.backups, "--list", "--json").json == []
    whole = installation.backup("--no-files")
    assert [path.name for path in installation.backups.iterdir()] == [whole.name]


def test_keep_removes_only_older_backups_of_the_same_database(installation: Installation) -> None:
    of_another = installation.backup("--no-files")
    manifest = json.loads((of_another / "manifest.json").read_text())
    manifest["database"]["name"] = "another"
    (of_another / "manifest.json").write_text(json.dumps(manifest))
    own = [installation.backup("--no-files") for _ in range(3)]

    kept = installation.backup("--no-files", "--keep", "2")

    assert sorted(installation.backups.iterdir()) == sorted([of_another, own[-1], kept])


def test_documents_that_change_meanwhile_are_archived_whole_or_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number in range(300):
        folder = root / f"run-{number}" / "stage1"
        folder.mkdir(parents=True)
        for name in ("a.md", "b.md"):
            (folder / name).write_bytes(b"0" * 2_000)
    ending = threading.Event()

    def replace_outputs() -> None:
        turn = 0
        while not ending.is_set():
            turn = turn % 9 + 1
            for number in range(300):
                for name in ("a.md", "b.md"):
                    path = root / f"run-{number}" / "stage1" / name
                    temporary = path.with_suffix(".new")
                    temporary.write_bytes(str(turn).encode() * 1_000 * turn)
                    temporary.replace(path)

    replacing = threading.Thread(target=replace_outputs)
    replacing.start()
    try:
        archived = archive_folder(root, tmp_path / "runs.tar.gz")
    finally:
        ending.set()
        replacing.join()

    with tarfile.open(tmp_path / "runs.tar.gz") as tar:
        documents = {
            member.name: tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.isreg() and member.name.endswith(".md")
        }
    assert [name for name, content in documents.items() if len(set(content)) != 1] == []
    missing = {f"run-{number}/stage1/{name}" for number in range(300) for name in ("a.md", "b.md")} - set(
        documents
    )
    named = set(archived.changed)
    assert all(name in named or name.rpartition("/")[0] in named for name in missing)


def test_a_link_that_goes_meanwhile_takes_nothing_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "root" / "run-a"
    (folder / "stage1").mkdir(parents=True)
    (folder / "stage1" / "a.md").write_text("a")
    (folder / "beside.md").write_text("b")
    (folder / "link").symlink_to("beside.md")

    def gone(path: Path) -> Path:
        path.unlink(missing_ok=True)
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "readlink", gone)
    archived = archive_folder(tmp_path / "root", tmp_path / "runs.tar.gz")
    assert (archived.files, archived.folders) == (2, 3)


def test_the_password_is_in_no_process_list(installation: Installation) -> None:
    installation.migrate("run-a")
    password = installation.url.split(":")[2].split("@")[0]

    async def seen_while_it_waits() -> str:
        connection = await asyncpg.connect(installation.bench.dsn)
        try:
            async with connection.transaction():
                await connection.execute('LOCK TABLE "User" IN ACCESS EXCLUSIVE MODE')
                backing_up = _start(installation, "--no-files")
                line = " ".join((await _dumping(backing_up.pid)).cmdline())
            assert await asyncio.to_thread(backing_up.wait, 30) == 0
            return line
        finally:
            await connection.close()

    line = asyncio.run(seen_while_it_waits())
    assert installation.database in line
    assert password not in line
    (folder,) = installation.backups.iterdir()
    assert password not in (folder / "manifest.json").read_text()


def test_a_pg_dump_older_than_the_server_is_refused_in_a_sentence(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "installed", lambda name: (Program(Path("/usr/bin/pg_dump"), 16, "16.9"),))
    ended = installation.ops("backup", "--to", installation.backups, "--no-files", expect=2)
    assert "pg_dump 18 or later, and here is 16.9" in ended.stderr
    assert list(installation.backups.iterdir()) == []


def test_a_backup_inside_of_the_root_is_refused(installation: Installation) -> None:
    ended = installation.ops("backup", "--to", installation.settings.root / "backups", expect=2)
    assert "is inside of" in ended.stderr


def test_a_database_without_runferry_can_be_saved_before_any_migration(
    installation: Installation, empty_database_url: str
) -> None:
    made = installation.ops(
        "backup", "--to", installation.backups, "--no-files", "--json", "--database-url", empty_database_url
    ).json
    assert made["position"] is None
    assert made["tables"] == []


def test_a_dump_under_full_load_is_one_snapshot(installation: Installation) -> None:
    """Every output's rows and its ledger entry are written in one transaction: a snapshot has both or neither."""
    installation.migrate("run-0")
    ending = threading.Event()

    def load() -> None:
        number = 1
        while not ending.is_set():
            installation.bench.write(*(whole_run(f"run-{number + more}") for more in range(5)))
            number += 5

    loading = threading.Thread(target=load)
    loading.start()
    try:
        made = [installation.ops("backup", "--to", installation.backups, "--json").json for _ in range(2)]
    finally:
        ending.set()
        loading.join()

    for manifest in made:
        rows = {table["name"]: table["rows"] for table in manifest["tables"]}
        assert rows["StageOutput"] == rows["ledger"] == manifest["position"]["entries"]
        assert rows["OpportunityCard"] == 5 * rows["Run"]
    assert made[0]["position"]["entries"] < made[1]["position"]["entries"]


def test_a_stopped_backup_ends_its_pg_dump(installation: Installation) -> None:
    async def locked() -> None:
        connection = await asyncpg.connect(installation.bench.dsn)
        try:
            async with connection.transaction():
                await connection.execute('LOCK TABLE "User" IN ACCESS EXCLUSIVE MODE')
                backing_up = _start(installation, "--no-files")
                dumping = await _dumping(backing_up.pid)
                backing_up.send_signal(signal.SIGINT)
                assert await asyncio.to_thread(backing_up.wait, 30) == 130
                assert not dumping.is_running() or dumping.status() == psutil.STATUS_ZOMBIE
        finally:
            await connection.close()

    asyncio.run(locked())
    assert list(installation.backups.iterdir()) == []


async def _dumping(pid: int) -> psutil.Process:
    """Return the pg_dump that a backup has started; one that is only asked for its version is another."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.name() == "pg_dump" and any(word.startswith("--file=") for word in child.cmdline()):
                    return child
        await asyncio.sleep(0.02)
    raise AssertionError("no pg_dump within 30 s")


def _start(installation: Installation, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ops.command", "backup", "--to", installation.backups, *words],
        env=os.environ | installation.environment,
        stderr=subprocess.DEVNULL,
    )


def test_embedded_services_remember_what_was_verified(
    services: EmbeddedServices, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.migrate("run-a")
    installation.backup("--no-files")
    mine = replace(services, database_url=installation.url)
    monkeypatch.setattr(embedded, "status", lambda home: mine)
    monkeypatch.setattr(embedded, "start", lambda home: mine)
    installation.ops("backup", "--to", installation.backups, "--verify", DATABASE_URL="", REDIS_URL="")
    assert installation.bench.rows("SELECT FROM runferry.backup WHERE verified_at IS NOT NULL") == [{}]
