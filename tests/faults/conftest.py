"""Installations to be damaged: on the session's stores, and on stores of their own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis
from real_workers import Site
from storm import OwnServices

from ops import schema
from shared import embedded
from shared.database_url import DatabaseAddress
from shared.settings import Settings


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    """An installation of this test's own, on the session's stores."""
    found = Site(settings, tmp_path)
    yield found
    found.close()


@pytest.fixture
def own_services() -> Iterator[OwnServices]:
    """A PostgreSQL and a Redis that the test may kill."""
    home = Path(tempfile.mkdtemp(prefix="runferry-faults-"))
    # PostgreSQL's account must get through to its data inside when root runs the tests.
    home.chmod(0o711)
    try:
        services = OwnServices(home)
        services.start()
        yield services
    finally:
        embedded.stop(home)
        shutil.rmtree(home)


@pytest.fixture
def own_site(own_services: OwnServices, tmp_path: Path) -> Iterator[Callable[[str, Path], Site]]:
    """Make an installation on the test's own stores, with a new database and an empty Redis; by name and root."""
    made: list[Site] = []

    def make(name: str, root: Path) -> Site:
        found = own_services.start()
        database_url = found.database_url.replace("/runferry?", f"/{name}?")
        asyncio.run(_make_database(found.database_url, database_url, name))
        with redis.Redis.from_url(found.redis_url) as client:
            client.flushdb()
        folder = tmp_path / name
        folder.mkdir()
        settings = Settings.from_environment(
            database_url=database_url, redis_url=found.redis_url, root=root, home=folder / ".runferry"
        )
        made.append(Site(settings, folder))
        return made[-1]

    yield make
    for site in made:
        site.close()


async def _make_database(administered_url: str, database_url: str, name: str) -> None:
    connection = await asyncpg.connect(DatabaseAddress.parse(administered_url).dsn)
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    connection = await asyncpg.connect(DatabaseAddress.parse(database_url).dsn)
    await schema.apply(connection)
    await connection.close()
