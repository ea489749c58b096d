"""`ops emergency-rollback`: back to files, at once, with a backup and a proof."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr
from real_workers import until
from ways_back_bench import Installation
from writing_bench import BROKEN, outputs

from ops.schema.migrations import prisma_migrations
from producers.stage_store.output import Source
from producers.stage_store.store import StageStore
from shared import queues
from shared.broker.holds import Holds
from shared.settings import Phase

NOWHERE = SecretStr("postgresql://nobody:nothing@127.0.0.1:1/none")
PRISMA = "SELECT migration_name, checksum FROM _prisma_migrations ORDER BY 1"


def filled(installation: Installation) -> None:
    """Two migrated runs and a dead letter in the rows, and a run on disk."""
    installation.migrate("run-a", "run-b")
    installation.bench.write(outputs("run-c", (1, BROKEN, 0)))
    installation.document("run-a", 1, "inspiration-analysis.md", b"# A\n")
    installation.document("run-a", 2, "trend-analysis.md", b"# Trends\n")


def test_it_leaves_what_the_plans_reset_leaves(installation: Installation) -> None:
    filled(installation)
    bookkeeping = installation.bench.rows(PRISMA)

    ended = installation.ops("emergency-rollback", "--confirm", installation.database, "--json").json

    assert all(rows == [] for rows in installation.tables().values())
    assert installation.bench.rows(PRISMA) == bookkeeping
    assert len(bookkeeping) == len(prisma_migrations())
    assert installation.bench.rows("SELECT to_regnamespace('runferry') AS schema") == [{"schema": None}]
    assert ended["file_path"] == {"run_id": "run-a", "documents": 2, "fault": None}
    assert ended["dead_letters"] == 1
    assert (Path(ended["backup"]) / "manifest.json").exists()
    with redis.Redis.from_url(installation.environment["REDIS_URL"]) as client:
        assert set(Holds(client, installation.settings.namespace).all()) == set(queues.ALL)
    with StageStore(installation.settings) as store:
        assert store.phase is Phase.FILES_ONLY
        assert store.read("run-a", 2).source is Source.FILES


def test_it_says_which_outputs_no_file_has_before_anything_goes(installation: Installation) -> None:
    filled(installation)
    bench = installation.bench
    bench.execute("INSERT INTO runferry.phase_change (at, who, phase) VALUES ('2020-01-01', 'me@here', 'db-only')")
    nowhere = {"redis_url": SecretStr("redis://127.0.0.1:1/0"), "database_url": NOWHERE}
    with StageStore(installation.settings.model_copy(update={"phase": Phase.DB_ONLY, **nowhere})) as store:
        assert store.write("run-x", 2, {"a.md": "# X"}).in_outbox

    told = installation.ops("emergency-rollback", expect=2).stderr

    assert re.search(r"^ +8  outputs of 2 runs \(such as run-a\) NOT IN FILES", told, re.MULTILINE)
    assert f"ops export --all --to {installation.settings.root}" in told
    assert re.search(r"^ +1  output waits UNSENT in .*: first producer outbox flush", told, re.MULTILINE)
    assert "Nothing was changed." in told


def test_going_on_later_it_can_be_undone_again(installation: Installation) -> None:
    filled(installation)
    made = "made by runferry"
    assert made in installation.ops("schema", "status").stdout
    for _ in range(2):
        installation.ops("emergency-rollback", "--confirm", installation.database, "--no-backup")
        installation.ops("schema", "apply")
        assert made in installation.ops("schema", "status").stdout
        (row,) = installation.bench.rows("""SELECT obj_description('"Run"'::regclass) AS said""")
        assert row["said"] is None


def test_the_way_back_from_it_is_its_backup(installation: Installation, empty_database_url: str) -> None:
    filled(installation)
    before = installation.tables()
    ended = installation.ops("emergency-rollback", "--confirm", installation.database, "--json").json
    assert installation.ops("restore", ended["backup"], "--json", DATABASE_URL=empty_database_url).json["equal"]

    assert installation.ops("schema", "apply").status == 0
    assert installation.tables() == {table: [] for table in before}
    # The history went with the schema: what is shown is what producers and workers obey.
    for command in (("status",), ("phase", "show")):
        assert installation.ops(*command, "--json").json["phase"] == "files-only"


def test_without_a_word_nothing_happens(installation: Installation) -> None:
    filled(installation)
    before = installation.tables()
    asked = installation.ops("emergency-rollback", expect=2)
    assert f"add --confirm {installation.database}" in asked.stderr
    assert 'rows of "public"."OpportunityCard"' in asked.stderr
    assert "Nothing was changed" in installation.ops("emergency-rollback", "--confirm", "other", expect=2).stderr
    assert installation.tables() == before
    assert installation.bench.rows("SELECT count(*) AS n FROM runferry.phase_change") == [{"n": 0}]


@pytest.mark.parametrize("answer", ["yes\n", "Ctrl-C", "YES\n"])
def test_at_a_terminal_nothing_but_the_word_in_capitals_empties(installation: Installation, answer: str) -> None:
    filled(installation)
    before = installation.tables()
    terminal, end = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "ops.command", "emergency-rollback"],
        env=os.environ | installation.environment,
        stdin=end,
        stdout=end,
        stderr=end,
    )
    os.close(end)
    shown = b""
    with contextlib.closing(os.fdopen(terminal, "r+b", buffering=0)) as screen:
        while b"Type YES" not in shown:
            shown += screen.read(4096)
        if answer == "Ctrl-C":
            # Nobody presses it in the moment between the words and the reading, in which the system forgets it.
            until(lambda: psutil.Process(asking.pid).status() == psutil.STATUS_SLEEPING, "a command that reads")
            asking.send_signal(signal.SIGINT)
        else:
            screen.write(answer.encode())
        with contextlib.suppress(OSError):  # its end
            while read := screen.read(4096):
                shown += read
    assert asking.wait(60) == (0 if answer == "YES\n" else 1), shown.decode()
    assert (b"Nothing was changed." in shown) == (answer != "YES\n")
    assert (installation.tables() == before) == (answer != "YES\n")


def test_keep_users_spares_everybody_but_runferrys_own(installation: Installation) -> None:
    filled(installation)
    installation.bench.execute("""INSERT INTO "User" VALUES ('u', 'c', 'u@example.com', NULL, now(), now())""")
    installation.ops("emergency-rollback", "--confirm", installation.database, "--keep-users")
    assert installation.bench.rows('SELECT id FROM "User"') == [{"id": "u"}]
    assert installation.bench.rows('SELECT id FROM "Run"') == []


def test_tables_that_the_web_app_made_need_a_word_of_their_own(installation: Installation) -> None:
    filled(installation)
    before = installation.tables()
    installation.bench.execute("DELETE FROM runferry.schema_fact WHERE fact = 'web_app_tables'")
    words = ("emergency-rollback", "--confirm", installation.database)

    refused = installation.ops(*words, expect=2)
    assert "needs --include-web-app-tables" in refused.stderr
    assert installation.tables() == before

    installation.ops(*words, "--include-web-app-tables")
    assert all(rows == [] for rows in installation.tables().values())


def test_tables_that_refer_to_the_emptied_ones_need_it_too(installation: Installation) -> None:
    filled(installation)
    installation.bench.execute(
        """CREATE TABLE public."Note" (id text PRIMARY KEY, "runId" text REFERENCES "Run" ON DELETE CASCADE)"""
    )
    installation.bench.execute("""INSERT INTO "Note" VALUES ('n', 'run-a')""")
    words = ("emergency-rollback", "--confirm", installation.database)
    assert '"public"."Note"' in installation.ops(*words, expect=2).stderr
    installation.ops(*words, "--include-web-app-tables")
    assert installation.bench.rows('SELECT FROM "Note"') == []


def test_a_backup_that_fails_stops_it_before_anything_is_lost(installation: Installation) -> None:
    filled(installation)
    before = installation.tables()
    (installation.folder / "file").write_text("in the way")
    words = ("emergency-rollback", "--confirm", installation.database)
    ended = installation.ops(*words, "--backup-to", installation.folder / "file" / "backups", expect=2)
    assert "Nothing was emptied, but publishing is stopped" in ended.stderr
    assert installation.tables() == before


def test_a_file_path_that_does_not_work_is_told(installation: Installation) -> None:
    installation.migrate("run-a")
    ended = installation.ops("emergency-rollback", "--confirm", installation.database, expect=1)
    assert "COULD NOT BE SHOWN TO WORK: There is no run in" in ended.stdout


@pytest.mark.parametrize("words", [("--backup-to", "x", "--no-backup")])
def test_wrong_usage_is_told(installation: Installation, words: tuple[str, ...]) -> None:
    assert "one of them" in installation.ops("emergency-rollback", *words, expect=2).stderr
