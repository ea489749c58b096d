"""The worst day: the database is destroyed and Redis is empty."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
import redis
from click.testing import CliRunner
from ways_back_bench import Installation

from producers.command import main as producer
from shared.database_url import DatabaseAddress

WORKERS = ("--run-workers", "1", "--settle", "0s")


def write_run(installation: Installation, run_id: str, mark: str) -> None:
    """Put a run of three stages into the root."""
    installation.document(run_id, 1, "inspiration-analysis.md", f"# A {mark}\n".encode())
    installation.document(run_id, 2, "trend-analysis.md", f"# Trends {mark}\n".encode())
    installation.document(run_id, 4, "context.json", b'{"brand_id": "maple-dairy"}')


def backfill(installation: Installation) -> None:
    """Carry the root to the rows, with a worker of its own."""
    words = ["backfill", "--all", *WORKERS, "--json"]
    ended = CliRunner().invoke(producer, words, env=installation.environment, catch_exceptions=False)
    assert ended.exit_code == 0, ended.stderr


def administer(installation: Installation, statement: str) -> None:
    """Execute a statement in another database of the server."""

    async def run() -> None:
        url = installation.url.replace(f"/{installation.database}?", "/postgres?")
        connection = await asyncpg.connect(DatabaseAddress.parse(url).dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


@pytest.mark.long
def test_a_destroyed_database_and_an_emptied_redis_come_back_balanced(installation: Installation) -> None:
    for number in range(4):
        write_run(installation, f"run-{number}", "before")
    backfill(installation)
    folder = installation.backup("--no-files")
    before = installation.tables()
    write_run(installation, "run-4", "since the backup")
    backfill(installation)
    everything = installation.bench.everything()

    administer(installation, f'DROP DATABASE "{installation.database}" WITH (FORCE)')
    with redis.Redis.from_url(installation.environment["REDIS_URL"]) as client:
        client.flushdb()

    restored = installation.ops("restore", folder, "--into", installation.database, "--json").json
    assert restored["equal"]
    assert installation.tables() == before
    behind = installation.ops("reconcile", "--all", *WORKERS, "--json", expect=1).json
    assert behind["verdicts"] == {"match": 12, "missing": 3}
    repaired = installation.ops("reconcile", "--all", "--repair", *WORKERS, "--json").json
    assert repaired["balanced"]
    assert repaired["repaired"] == 3
    assert installation.bench.everything() == everything
