"""An installation on real stores, with real commands and worker processes, and a database for the baseline."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from real_workers import REPOSITORY, Site

from shared.database_url import DatabaseAddress
from shared.embedded import EmbeddedServices
from shared.settings import Settings

_BASELINE = "test_baseline"


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    """An installation of this test's own."""
    found = Site(settings, tmp_path)
    yield found
    found.close()


@dataclass(frozen=True)
class Baseline:
    """A migrator that does what the user's script does, on a database of choice."""

    database_url: str

    def migrate(self, root: Path) -> None:
        """Migrate a tree; the script needs the user's row."""
        self.execute(
            'INSERT INTO "User" (id, "clerkId", email, "updatedAt") VALUES ($1, $1, $1, now()) ON CONFLICT DO NOTHING',
            "migration-user",
        )
        subprocess.run(
            [sys.executable, "-m", "benchmarks.sequential", str(root)],
            cwd=REPOSITORY,
            env=os.environ | {"DATABASE_URL": self.database_url},
            check=True,
        )

    def execute(self, statement: str, *arguments: Any) -> None:
        """Execute a statement."""
        asyncio.run(_once(self.database_url, lambda connection: connection.execute(statement, *arguments)))

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the records of a query."""
        found = asyncio.run(_once(self.database_url, lambda connection: connection.fetch(query)))
        return [dict(record) for record in found]

    def on(self, database_url: str) -> Baseline:
        """The same migrator on another database."""
        return replace(self, database_url=database_url)


@pytest.fixture
def baseline(services: EmbeddedServices, template_database: str) -> Iterator[Baseline]:
    """The migrator, with a database of its own."""
    administered = services.database_url.replace("/runferry?", "/postgres?")
    create = f'CREATE DATABASE "{_BASELINE}" TEMPLATE "{template_database}"'
    asyncio.run(_once(administered, lambda connection: connection.execute(create)))
    yield Baseline(services.database_url.replace("/runferry?", f"/{_BASELINE}?"))
    drop = f'DROP DATABASE "{_BASELINE}" WITH (FORCE)'
    asyncio.run(_once(administered, lambda connection: connection.execute(drop)))


@pytest.fixture
def site_on(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Another installation, whose settings differ."""
    made: list[Site] = []

    def make(**changes: str) -> Site:
        secret = {name: SecretStr(value) for name, value in changes.items()}
        made.append(Site(settings.model_copy(update=secret), tmp_path))
        return made[-1]

    yield make
    for site in made:
        site.close()


async def _once(database_url: str, function: Callable[[asyncpg.Connection], Any]) -> Any:
    connection = await asyncpg.connect(DatabaseAddress.parse(database_url).dsn)
    try:
        return await function(connection)
    finally:
        await connection.close()
