"""Runs Dramatiq's own tests of its Redis broker against ours: `python tests/broker/dramatiqs_own_tests.py`.

They are fetched with the source of the installed version, since they are not part of its wheel, and their licence is
not ours to hand on. Two are left out: they connect the stock constructor to a Redis on the standard port.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from shared.embedded.binaries import find_binaries
from shared.embedded.redis_server import RedisServer

_COMMON = """
from contextlib import contextmanager
from dramatiq import Worker

@contextmanager
def worker(*args, **kwargs):
    worker = Worker(*args, **kwargs)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
"""

_CONFTEST = """
import os
import dramatiq, pytest
from dramatiq import Worker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import default_middleware
from shared.broker.broker import RunferryBroker
from shared.settings import Settings

URL = os.environ["TESTED_REDIS_URL"]

@pytest.fixture
def redis_broker():
    if os.environ["TESTED_BROKER"] == "stock":
        broker = RedisBroker(url=URL)
    else:
        middleware = [each() for each in default_middleware]
        broker = RunferryBroker(URL, Settings(namespace="dramatiq"), middleware=middleware)
    broker.client.flushdb()
    broker.emit_after("process_boot")
    dramatiq.set_broker(broker)
    yield broker
    broker.client.flushdb()
    broker.close()

@pytest.fixture
def redis_worker(redis_broker):
    worker = Worker(redis_broker, worker_timeout=100, worker_threads=8)
    worker.start()
    yield worker
    worker.stop()
"""

_LEFT_OUT = ("test_redis_broker_can_connect_via_url", "test_redis_broker_can_connect_via_client")


def main(kind: str) -> int:
    """Run them; returns pytest's exit status."""
    with tempfile.TemporaryDirectory(prefix="rf-") as name:
        folder = Path(name)
        suite = folder / "tests"
        suite.mkdir()
        _fetch(folder, suite)
        (suite / "__init__.py").touch()
        (suite / "common.py").write_text(_COMMON)
        (suite / "conftest.py").write_text(_CONFTEST)
        (folder / "redis").mkdir()
        server = RedisServer(find_binaries().redis_server, folder / "redis", folder, "secret")
        server.start({})
        try:
            return subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
                + [f"--deselect=tests/test_redis.py::{test}" for test in _LEFT_OUT],
                cwd=folder,
                env=os.environ
                | {
                    "PYTHONPATH": str(Path(__file__).parents[2]),
                    "TESTED_REDIS_URL": server.url,
                    "TESTED_BROKER": kind,
                },
                check=False,
            ).returncode
        finally:
            server.stop()


def _fetch(folder: Path, suite: Path) -> None:
    options = ["--quiet", "--no-deps", "--no-binary=:all:", "--no-build-isolation", f"--dest={folder}"]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, f"dramatiq=={version('dramatiq')}"], check=True
    )
    [archive] = folder.glob("dramatiq-*.tar.gz")
    with tarfile.open(archive) as source:
        [member] = [each for each in source.getmembers() if each.name.endswith("/tests/test_redis.py")]
        content = source.extractfile(member)
        assert content is not None
        (suite / "test_redis.py").write_bytes(content.read())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "ours"))
