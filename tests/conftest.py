"""Fixtures of all tests: real PostgreSQL and Redis of the session, and databases of each test's own."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest
import redis

from ops import schema
from shared import embedded
from shared.database_url import DatabaseAddress
from shared.settings import Settings

_REDIS_DATABASES: Final = 64
_TEMPLATE: Final = "runferry_template"
#: Room that a temporary folder in memory must have; a whole run of the tests takes a fifth of it.
_MEMORY_BYTES: Final = 2 * 1024**3
#: Each has a PostgreSQL and a Redis of its own.
_MOST_WORKERS: Final = 8
_numbers = itertools.count(1)

# What the machine is set to must reach neither the tests nor, through them, somebody's database.
for _name in [
    name for name in os.environ if name.startswith(("RUNFERRY_", "PG")) or name in ("DATABASE_URL", "REDIS_URL")
]:
    del os.environ[_name]

# A shell's background job ignores Ctrl-C, and what it starts would as well: tests send it to commands.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _settle_in_memory() -> None:
    """Have all temporary files in memory where there is room for them.

    A database of a test's own is some 300 files: in memory, making it costs a tenth. Nothing is proved less, for
    tests kill processes and never the machine.
    """
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(memory, os.R_OK | os.W_OK | os.X_OK):
        return
    found = os.statvfs(memory)
    if found.f_bavail * found.f_frsize >= _MEMORY_BYTES and not found.f_flag & os.ST_NOEXEC:
        # For this process, those of xdist and all that they start.
        os.environ["TMPDIR"] = tempfile.tempdir = str(memory)


_settle_in_memory()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two a core: where a test waits for a time-out or a heartbeat, another one computes."""
    return min(_MOST_WORKERS, 2 * (os.cpu_count() or 1))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates in what a test printed or logged: a report with one can't leave its process."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def services() -> Iterator[embedded.EmbeddedServices]:
    """One embedded PostgreSQL and Redis for the whole session, in a home of its own."""
    home = Path(tempfile.mkdtemp(prefix="runferry-tests-"))
    # PostgreSQL's account must get through to its data inside when root runs the tests.
    home.chmod(0o711)
    try:
        # Tests kill processes, never the machine: fsync would add nothing here but time.
        yield embedded.start(
            home, postgres_settings={"fsync": "off"}, redis_settings={"databases": str(_REDIS_DATABASES)}
        )
    finally:
        embedded.stop(home)
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def template_database(services: embedded.EmbeddedServices) -> str:
    """The name of a database to which Prisma's migrations and runferry's schema were applied."""
    _administer(services, f'CREATE DATABASE "{_TEMPLATE}"')

    async def apply() -> None:
        connection = await asyncpg.connect(DatabaseAddress.parse(_with_database(services, _TEMPLATE)).dsn)
        try:
            await schema.apply(connection)
        finally:
            await connection.close()

    asyncio.run(apply())
    return _TEMPLATE


@pytest.fixture
def database_url(services: embedded.EmbeddedServices, template_database: str) -> Iterator[str]:
    """The URL of a fresh database of this test's own with the web app's and runferry's tables, all empty."""
    yield from _database(services, f'TEMPLATE "{template_database}" STRATEGY FILE_COPY')


@pytest.fixture
def empty_database_url(services: embedded.EmbeddedServices) -> Iterator[str]:
    """The URL of a truly empty database of this test's own."""
    yield from _database(services, "")


@pytest.fixture
def redis_url(services: embedded.EmbeddedServices) -> Iterator[str]:
    """The URL of a Redis database of this test's own, empty."""
    url = services.redis_url.replace("db=0", f"db={next(_numbers) % (_REDIS_DATABASES - 1) + 1}")
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings with both stores of this test, and a root and a home in its own folder."""
    root = tmp_path / "root"
    root.mkdir()
    return Settings.from_environment(
        database_url=database_url, redis_url=redis_url, root=root, home=tmp_path / ".runferry"
    )


@pytest.fixture
def settings_in_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of this test, which commands of this process find in their environment."""
    assert settings.database_url is not None
    assert settings.redis_url is not None
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("RUNFERRY_ROOT", str(settings.root))
    monkeypatch.setenv("RUNFERRY_HOME", str(settings.home))
    return settings


def _database(services: embedded.EmbeddedServices, how: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _administer(services, f'CREATE DATABASE "{name}" {how}')
    yield _with_database(services, name)
    _administer(services, f'DROP DATABASE "{name}" WITH (FORCE)')


def _with_database(services: embedded.EmbeddedServices, name: str) -> str:
    return services.database_url.replace("/runferry?", f"/{name}?")


def _administer(services: embedded.EmbeddedServices, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(DatabaseAddress.parse(_with_database(services, "postgres")).dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())
