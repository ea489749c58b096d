"""The worst day: the database is destroyed and Redis is empty."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
import redis
from click.testing import CliRunner
from real_workers import until
from ways_back_bench import Installation, whole_run

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
@contextmanager
def load(installation: Installation) -> Iterator[list[str]]:
    """Have runs come in, one after the other, on disk and in the rows; yields their ids."""
    ending = threading.Event()
    written: list[str] = []

    def write() -> None:
        while not ending.is_set():
            run_id = f"load-{len(written)}"
            message = whole_run(run_id)
            for output in message.outputs:
                for document in (body.document() for body in output.documents):
                    at_ns = int(output.produced_at.timestamp()) * 10**9
                    installation.document(run_id, output.stage, document.name, document.content, at_ns=at_ns)
            installation.bench.write(message)
            written.append(run_id)

    loading = threading.Thread(target=write)
    loading.start()
    try:
        yield written
    finally:
        ending.set()
        loading.join()


def test_a_destroyed_database_and_an_emptied_redis_come_back_balanced(installation: Installation) -> None:
    """The backup is taken under load, so it has a part of what came in meanwhile; the files have all of it."""
    for number in range(4):
        write_run(installation, f"run-{number}", "before")
    backfill(installation)
    with load(installation) as written:
        until(lambda: len(written) > 3, "load")
        folder = installation.backup("--no-files")
        at_least = len(written)
        until(lambda: len(written) > at_least + 3, "more load")
    write_run(installation, "run-4", "since the backup")
    backfill(installation)
    everything = installation.bench.everything()
    outputs = 15 + 4 * len(written)

    administer(installation, f'DROP DATABASE "{installation.database}" WITH (FORCE)')
    with redis.Redis.from_url(installation.environment["REDIS_URL"]) as client:
        client.flushdb()

    restored = installation.ops("restore", folder, "--into", installation.database, "--json").json
    assert restored["equal"]
    behind = installation.ops("reconcile", "--all", *WORKERS, "--json", expect=1).json
    assert behind["verdicts"].keys() == {"match", "missing"}
    assert behind["verdicts"]["match"] >= 12 + 4 * 3
    assert behind["verdicts"]["missing"] >= 3 + 4 * 3
    repaired = installation.ops("reconcile", "--all", "--repair", *WORKERS, "--json").json
    assert repaired["balanced"]
    assert repaired["verdicts"] == {"match": outputs}
    assert repaired["repaired"] == behind["verdicts"]["missing"]
    assert installation.bench.everything() == everything
