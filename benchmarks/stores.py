"""The services that a benchmark runs on: embedded, its own, as durable as production, emptied for each round."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import asyncpg
import redis

from benchmarks.processor_time import tree_cpu_s
from benchmarks.simple_rows import USER_ID
from ops import schema
from shared import embedded
from shared.database_url import DatabaseAddress

T = TypeVar("T")

#: What the rows of a run lie in, and runferry's own.
WEB_APP_TABLES: Final = ("User", "Run", "InspirationReport", "OpportunityCard", "StageOutput")
_TEMPLATE: Final = "benchmark_template"
_DATABASE: Final = "benchmark"
_DURABLE_POSTGRES: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_DURABLE_REDIS: Final = {"appendonly": "yes", "maxmemory-policy": "noeviction"}


class BenchmarkFailed(Exception):  # noqa: N818 - what happened, in the words of the report
    """A measurement that can't be trusted: rows are missing, a command failed, a store is not durable."""


@dataclass(frozen=True, slots=True)
class ServerTimes:
    """Processor time that the servers have used since they started."""

    postgres_s: float
    redis_s: float


@dataclass(frozen=True, slots=True)
class BenchmarkStores:
    """One embedded PostgreSQL and Redis, and the database of the round."""

    home: Path
    services: embedded.EmbeddedServices

    @property
    def database_url(self) -> str:
        """The URL of the round's database."""
        return self._url(_DATABASE)

    @property
    def redis_url(self) -> str:
        """The URL of the queue."""
        return self.services.redis_url

    def prepare(self) -> None:
        """Make the template; raises BenchmarkFailed where a store would lose what it has acknowledged."""

        async def make(connection: asyncpg.Connection) -> None:
            await connection.execute(f'CREATE DATABASE "{_TEMPLATE}"')

        async def fill(connection: asyncpg.Connection) -> None:
            await schema.apply(connection)
            await connection.execute(
                'INSERT INTO "User" (id, "clerkId", email, "updatedAt") VALUES ($1, $1, $2, now())',
                USER_ID,
                f"{USER_ID}@users.invalid",
            )
            for name, wanted in _DURABLE_POSTGRES.items():
                if (value := await connection.fetchval(f"SHOW {name}")) != wanted:
                    raise BenchmarkFailed(f"PostgreSQL runs with {name} = {value}.")

        self._on("postgres", make)
        self._on(_TEMPLATE, fill)
        with redis.Redis.from_url(self.redis_url) as client:
            for name, wanted in _DURABLE_REDIS.items():
                value = client.config_get(name)[name]
                if value != wanted:
                    raise BenchmarkFailed(f"Redis runs with {name} {value}.")

    def renew(self) -> None:
        """Begin a round: an empty database with the schema, an empty Redis, nothing left to be written to disk."""

        async def renew(connection: asyncpg.Connection) -> None:
            await connection.execute(f'DROP DATABASE IF EXISTS "{_DATABASE}" WITH (FORCE)')
            await connection.execute(f'CREATE DATABASE "{_DATABASE}" TEMPLATE "{_TEMPLATE}"')
            await connection.execute("CHECKPOINT")

        self._on("postgres", renew)
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def row_counts(self) -> dict[str, int]:
        """Return the rows of each table, the ledger's among them, in the round's database."""

        async def count(connection: asyncpg.Connection) -> dict[str, int]:
            tables = [
                *(f'public."{table}"' for table in WEB_APP_TABLES),
                "runferry.ledger",
                "runferry.dead_letter",
            ]
            return {
                table.split(".")[1].strip('"'): await connection.fetchval(f"SELECT count(*) FROM {table}")
                for table in tables
            }

        return self.on_database(count)

    def on_database(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do something with a connection to the round's database."""
        return self._on(_DATABASE, work)

    def wal_bytes(self) -> int:
        """Return how much PostgreSQL has ever logged."""

        async def position(connection: asyncpg.Connection) -> int:
            return int(await connection.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))

        return self.on_database(position)

    def all_rows(self) -> int:
        """Return the rows of all tables of the web app and of runferry."""

        async def count(connection: asyncpg.Connection) -> int:
            tables = await connection.fetch(
                "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables"
                " WHERE schemaname IN ('public', 'runferry')"
            )
            return sum([await connection.fetchval(f"SELECT count(*) FROM {table['name']}") for table in tables])

        return self.on_database(count)

    def row_versions(self) -> dict[str, tuple[int, int]]:
        """Return per table of the web app its rows and a sum over who wrote each: it changes with any row touched."""

        async def versions(connection: asyncpg.Connection) -> dict[str, tuple[int, int]]:
            query = (
                'SELECT count(*), coalesce(sum(hashtextextended(id || xmin::text, 0)), 0)::text FROM public."{}"'
            )
            found = {table: await connection.fetchrow(query.format(table)) for table in WEB_APP_TABLES}
            return {table: (row[0], int(row[1])) for table, row in found.items() if row is not None}

        return self.on_database(versions)

    def server_times(self) -> ServerTimes:
        """Return what the servers have used so far."""
        postgres, server = self.services.postgres.pid, self.services.redis.pid
        if postgres is None or server is None:
            raise BenchmarkFailed("The embedded services have stopped.")
        return ServerTimes(tree_cpu_s(postgres), tree_cpu_s(server))

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a command to the round's stores."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "RUNFERRY_HOME": str(self.home / "client"),
        }

    def _url(self, database: str) -> str:
        return self.services.database_url.replace("/runferry?", f"/{database}?")

    def _on(self, database: str, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        async def connected() -> T:
            address = DatabaseAddress.parse(self._url(database))
            connection = await asyncpg.connect(**address.connect_arguments(), server_settings={"timezone": "UTC"})
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(connected())


@contextmanager
def benchmark_stores() -> Iterator[BenchmarkStores]:
    """Yield stores in a folder of their own, stopped and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="runferry-benchmark-"))
    # Where root runs this, PostgreSQL runs as another user, who must get through to its data inside.
    home.chmod(0o711)
    try:
        stores = BenchmarkStores(home, embedded.start(home, postgres_settings=_DURABLE_POSTGRES))
        stores.prepare()
        yield stores
    finally:
        embedded.stop(home)
        shutil.rmtree(home)
