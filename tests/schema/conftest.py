"""Databases in the states that apply meets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from click.testing import CliRunner, Result

from ops.command import main
from ops.schema.migrations import prisma_migrations
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.settings import Settings

T = TypeVar("T")

DUPLICATE_ROWS = """
INSERT INTO "User" (id, "clerkId", email, "updatedAt") VALUES ('u', 'u', 'u@example.invalid', now());
INSERT INTO "Run" (id, "userId", "companyId", "companyName", "documentName", "documentUrl", "updatedAt")
VALUES ('run-1', 'u', 'c', 'C', 'd', 'd', now());
INSERT INTO "OpportunityCard"
    (id, "runId", "userId", "number", title, tagline, problem, solution, why_now, target_segment, quick_win,
     "updatedAt")
VALUES ('card-a', 'run-1', 'u', 1, '', '', '', '', '', '', '', now()),
       ('card-b', 'run-1', 'u', 1, '', '', '', '', '', '', '', now());
INSERT INTO "StageOutput" (id, "runId", "stageNumber", "markdownOutput")
VALUES ('out-a', 'run-1', 2, ''), ('out-b', 'run-1', 2, '');
"""


@dataclass(frozen=True)
class Database:
    """A database of the test's own, with a connection for each call."""

    url: str

    def in_schema(self, schema: str) -> Database:
        """The same database, with another schema in its address."""
        return replace(self, url=self.url + ("&" if "?" in self.url else "?") + f"schema={schema}")

    def as_role(self, role: str, password: str) -> Database:
        """The same database, for another role."""
        address = DatabaseAddress.parse(self.url)
        scheme, _, rest = self.url.partition("://")
        assert address.user in rest
        return replace(self, url=f"{scheme}://{role}:{password}@{rest.partition('@')[2]}")

    async def connect(self) -> asyncpg.Connection:
        return await connect(DatabaseAddress.parse(self.url), Settings.from_environment())

    def run(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        async def run() -> T:
            connection = await self.connect()
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(run())

    def execute(self, sql: str) -> None:
        self.run(lambda connection: connection.execute(sql))

    def fetch(self, sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self.run(lambda connection: connection.fetch(sql))]

    def names(self, schema: str) -> set[str]:
        """All tables and indexes of a schema."""
        sql = f"SELECT relname::text AS name FROM pg_class WHERE relnamespace = to_regnamespace('{schema}')"
        return {row["name"] for row in self.fetch(sql)}

    def ops(self, *arguments: str, input: str | None = None) -> Result:
        """Run `ops schema …` on this database."""
        return CliRunner().invoke(main, ["schema", *arguments, "--database-url", self.url], input=input)


@pytest.fixture
def empty(empty_database_url: str) -> Database:
    """A truly empty database."""
    return Database(empty_database_url)


@pytest.fixture
def applied(database_url: str) -> Database:
    """A database to which everything was applied."""
    return Database(database_url)


@pytest.fixture
def web_made(empty: Database) -> Database:
    """A database in which the web app deployed its first migration: no unique keys yet."""
    _deploy(empty, prisma_migrations()[0].name)
    return empty


@pytest.fixture
def web_made_with_keys(web_made: Database) -> Database:
    """The same with the unique keys, under a name of the web app's own."""
    web_made.execute(prisma_migrations()[-1].script.decode())
    web_made.execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) "
        "VALUES ('2', 'theirs', '20260101000000_keys', now(), 1)"
    )
    return web_made


@pytest.fixture
def duplicate_rows() -> str:
    """SQL that makes two cards of one number and two outputs of one stage."""
    return DUPLICATE_ROWS


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    """The web app's Prisma folder with its first migration."""
    folder = tmp_path / "web" / "prisma"
    first = prisma_migrations()[0]
    (folder / "migrations" / first.name).mkdir(parents=True)
    (folder / "migrations" / first.name / "migration.sql").write_bytes(first.script)
    (folder / "migrations" / "migration_lock.toml").write_text('provider = "postgresql"\n')
    (folder / "schema.prisma").write_text(
        "model OpportunityCard {\n  runId String\n  number Int\n\n  @@index([runId, number])\n}\n\n"
        "model StageOutput {\n  runId String\n  stageNumber Int\n\n  @@index([runId, stageNumber])\n}\n"
    )
    return folder


@pytest.fixture
def role(empty: Database) -> Iterator[Database]:
    """The empty database for a role that may do nothing in it but look."""
    empty.execute("CREATE ROLE runferry_plain LOGIN PASSWORD 'plain'")
    yield empty.as_role("runferry_plain", "plain")
    empty.execute("DROP OWNED BY runferry_plain CASCADE; DROP ROLE runferry_plain")


def _deploy(database: Database, name: str) -> None:
    script = next(migration.script for migration in prisma_migrations() if migration.name == name)
    database.execute(script.decode())
    database.execute(
        "CREATE TABLE _prisma_migrations (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, "
        "finished_at TIMESTAMPTZ, migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ, "
        "started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)"
    )
    database.execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) "
        f"VALUES ('1', 'theirs', '{name}', now(), 1)"
    )
