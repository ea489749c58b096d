"""The real Prisma agrees with a database that runferry made. `make prisma` runs this; the gate needs no npm."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest
from click.testing import CliRunner

from ops.command import main as ops
from producers.command import main as producer
from shared.database_url import DatabaseAddress

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
EXAMPLES = REPOSITORY / "examples" / "runs"
WORKERS = ("--run-workers", "1", "--settle", "0s")


class WebApp:
    """The web app's folder, with the real Prisma in it, on one database; and runferry's commands on the same."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder = folder
        self.address = DatabaseAddress.parse(database_url)
        self.runferry = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "RUNFERRY_ROOT": str(EXAMPLES),
            "RUNFERRY_HOME": str(folder / "home"),
            "YES": "1",
        }
        shutil.copytree(REPOSITORY / "ops" / "prisma", folder / "prisma")
        for name in ("prisma.config.mjs", "client.mjs", "package.json"):
            shutil.copy(HERE / name, folder)
        (folder / "node_modules").symlink_to(HERE / "node_modules")

    @property
    def schema(self) -> str:
        return (self.folder / "prisma" / "schema.prisma").read_text()

    def prisma(self, *words: str, expect: int = 0) -> str:
        """Run Prisma's command to its end, and return what it printed."""
        return self._node("node_modules/.bin/prisma", *words, expect=expect)

    def client(self, *words: str) -> Any:
        """Have the generated client do something, and return what it answers."""
        if not (self.folder / "prisma" / "generated").exists():
            self.prisma("generate", "--no-hints")
        return json.loads(self._node("client.mjs", *words, expect=0))

    def run(self, *words: str, expect: int = 0) -> Any:
        """Run a command of runferry, and return its JSON document."""
        command = producer if words[0] == "backfill" else ops
        ended = CliRunner().invoke(command, [*words, "--json"], env=self.runferry, catch_exceptions=False)
        assert ended.exit_code == expect, ended.stderr
        return json.loads(ended.stdout)

    def rows(self, query: str) -> list[Any]:
        """Return the first column of a query."""

        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(self.address.dsn)
            try:
                return [record[0] for record in await connection.fetch(query)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def _node(self, *words: str, expect: int) -> str:
        parts = urlsplit(self.address.url)
        address = {
            "PGHOST": self.address.host,
            "PGPORT": str(self.address.port),
            "PGUSER": self.address.user,
            "PGPASSWORD": unquote(parts.password or ""),
            "PGDATABASE": self.address.database,
        }
        quiet = {"CHECKPOINT_DISABLE": "1", "PRISMA_HIDE_UPDATE_MESSAGE": "1", "NO_COLOR": "1"}
        # The schema's own url is read, and not used: the adapter gets its address from PG*.
        unused = {"DATABASE_URL": "postgresql://unused"}
        ended = subprocess.run(
            ["node", *words],
            cwd=self.folder,
            env=os.environ | quiet | unused | address,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == expect, f"{ended.stdout}\n{ended.stderr}"
        return ended.stdout


def blocks(schema: str) -> dict[str, set[str]]:
    """Return the models and enums of a schema with their lines; order, spaces and comments don't count."""
    found = re.findall(r"^((?:model|enum) \w+) \{\n(.*?)^\}", schema, re.MULTILINE | re.DOTALL)
    return {
        name: {" ".join(line.split("//")[0].split()) for line in body.splitlines()} - {""} for name, body in found
    }


@pytest.fixture
def empty(empty_database_url: str, redis_url: str, tmp_path: Path) -> WebApp:
    """A web app on an empty database."""
    return WebApp(tmp_path, empty_database_url, redis_url)


@pytest.fixture
def migrated(empty: WebApp) -> WebApp:
    """A web app whose database runferry made, and filled with the examples."""
    empty.run("schema", "apply")
    empty.run("backfill", "--all", "--wait", *WORKERS)
    return empty


def test_prisma_finds_its_migrations_its_structure_and_its_rows(migrated: WebApp) -> None:
    assert "Database schema is up to date!" in migrated.prisma("migrate", "status")

    assert len(blocks(migrated.schema)) == 6
    assert blocks(migrated.prisma("db", "pull", "--print")) == blocks(migrated.schema)

    (user,) = migrated.client("read")
    assert user["id"] == user["clerkId"] == "migration-user"
    read = [_plain(run) for run in user["runs"]]
    stored = [json.loads(text) for text in migrated.rows(WITH_RELATIONS)]
    assert [run["id"] for run in read] == [run["id"] for run in stored]
    assert read == [_plain(run) for run in stored]
    for table in ("opportunityCards", "stageOutputs"):
        assert sum(len(run[table]) for run in read) > len(read)
    assert any(run["inspirationReport"] for run in read)


def test_what_is_missing_is_seen(migrated: WebApp) -> None:
    """What the claims above rest on: these comparisons can fail."""
    migrated.rows("""DELETE FROM _prisma_migrations WHERE migration_name LIKE '%_idempotency_keys'""")
    migrated.rows('DROP INDEX "OpportunityCard_runId_number_key"')
    migrated.prisma("migrate", "status", expect=1)
    pulled, said = (
        blocks(text)["model OpportunityCard"]
        for text in (migrated.prisma("db", "pull", "--print"), migrated.schema)
    )
    assert said - pulled == {"@@unique([runId, number])"}


def test_what_users_do_through_prisma_is_known_and_spared(migrated: WebApp) -> None:
    with_cards = migrated.rows("""SELECT "runId" FROM "OpportunityCard" WHERE number = 1 ORDER BY 1""")
    starred, edited, removed = with_cards[:3]
    migrated.client("star", starred)
    migrated.client("retitle", edited, "Mine")
    migrated.client("remove", removed)

    report = migrated.run("reconcile", "--all", *WORKERS)
    assert report["balanced"]
    named = {(one["run_id"], one["stage"]): one["verdict"] for one in report["named"]}
    assert named[edited, 5] == "edited"
    assert {verdict for (run_id, _), verdict in named.items() if run_id == removed} <= {"deleted", "dead_lettered"}
    assert "deleted" in named.values()
    assert (starred, 5) not in named

    migrated.run("backfill", "--all", "--wait", *WORKERS)
    kept = migrated.run("rollback", "--all-migrated")
    assert {(one["run_id"], one["table"]) for one in kept["kept"]} == {
        (run_id, table) for run_id in (starred, edited) for table in ("OpportunityCard", "Run")
    }
    (user,) = migrated.client("read")
    assert [(run["id"], len(run["opportunityCards"])) for run in user["runs"]] == sorted(
        [(starred, 1), (edited, 1)]
    )


def test_prisma_agrees_after_an_emergency_rollback(migrated: WebApp) -> None:
    migrated.run("emergency-rollback", "--confirm", migrated.address.database)
    assert "Database schema is up to date!" in migrated.prisma("migrate", "status")
    assert migrated.client("read") == []
    assert "No pending migrations to apply" in migrated.prisma("migrate", "deploy")


@pytest.mark.parametrize("here", [False, True], ids=["by the app's own migration", "by runferry"])
def test_tables_that_prisma_made_are_taken_once_they_have_the_keys(empty: WebApp, here: bool) -> None:
    """The web app deployed its first migration long ago; the keys come by one more, or by `--here`."""
    folder = empty.folder / "prisma"
    (keys,) = (folder / "migrations").glob("*_idempotency_keys")
    shutil.rmtree(keys)
    empty.prisma("migrate", "deploy")
    if here:
        assert len(empty.run("schema", "apply", "--here")["keys"]) == 2
        written = empty.run("schema", "prisma", "--to", str(folder))
        empty.prisma("migrate", "resolve", "--applied", written["migration"])
    else:
        assert CliRunner().invoke(ops, ["schema", "apply"], env=empty.runferry).exit_code == 2
        empty.run("schema", "prisma", "--to", str(folder))
        empty.prisma("migrate", "deploy")
        assert empty.run("schema", "apply")["prisma"] == []
    assert empty.run("schema", "verify")["equal"]
    assert "Database schema is up to date!" in empty.prisma("migrate", "status")


WITH_RELATIONS = """
SELECT (to_jsonb(run) || jsonb_build_object(
    'opportunityCards', coalesce(
        (SELECT jsonb_agg(card ORDER BY number) FROM "OpportunityCard" AS card WHERE "runId" = run.id), '[]'),
    'stageOutputs', coalesce(
        (SELECT jsonb_agg(output ORDER BY "stageNumber") FROM "StageOutput" AS output WHERE "runId" = run.id), '[]'),
    'inspirationReport', (SELECT to_jsonb(report) FROM "InspirationReport" AS report WHERE "runId" = run.id)
))::text
FROM "Run" AS run ORDER BY id COLLATE "C"
"""


def _plain(value: Any, key: str = "") -> Any:
    """Return the value with its times as points in UTC."""
    if isinstance(value, dict):
        return {name: _plain(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if key.endswith("At") and isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value
