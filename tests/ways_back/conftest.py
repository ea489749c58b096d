"""An installation of each test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from ways_back_bench import Installation
from writing_bench import Bench

from shared.database_url import DatabaseAddress
from shared.embedded import EmbeddedServices
from shared.settings import Settings


@pytest.fixture
def installation(settings: Settings, tmp_path: Path) -> Installation:
    """An installation of this test's own; its commands know it by their environment."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    url = settings.database_url.get_secret_value()
    environment = {
        "DATABASE_URL": url,
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "RUNFERRY_ROOT": str(settings.root),
        "RUNFERRY_HOME": str(settings.home),
    }
    return Installation(settings, Bench(DatabaseAddress.parse(url).dsn), tmp_path, environment)


@pytest.fixture
def other_databases(services: EmbeddedServices) -> Iterator[Callable[[str], str]]:
    """Names for databases that a command makes; they are dropped at the end, with all that begin like them."""
    wanted: list[str] = []

    def name(wish: str) -> str:
        wanted.append(wish)
        return wish

    yield name

    async def drop() -> None:
        url = services.database_url.replace("/runferry?", "/postgres?")
        connection = await asyncpg.connect(DatabaseAddress.parse(url).dsn)
        try:
            for record in await connection.fetch("SELECT datname FROM pg_database"):
                if record["datname"].startswith(tuple(wanted)):
                    await connection.execute(f'DROP DATABASE "{record["datname"]}" WITH (FORCE)')
        finally:
            await connection.close()

    if wanted:
        asyncio.run(drop())
