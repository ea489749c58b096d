"""Fixtures of the broker's tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dramatiq.worker
import pytest
import redis
from broker_bench import Bench

from shared.embedded.binaries import find_binaries
from shared.embedded.redis_server import RedisServer


@pytest.fixture
def redis_url(redis_url: str) -> Iterator[str]:
    """The URL of an empty Redis database; of another server's where TEST_REDIS_URL names one."""
    other = os.environ.get("TEST_REDIS_URL")
    if other is None:
        yield redis_url
        return
    with redis.Redis.from_url(other) as client:
        client.flushdb()
        yield other
        client.flushdb()


@pytest.fixture(params=["stock", "ours"])
def bench(
    request: pytest.FixtureRequest, redis_url: str, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """The same bench for Dramatiq's broker and for ours."""
    # The stock worker's pauses after an outage: shorter ones only make the tests quicker.
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.2)
    monkeypatch.setattr(dramatiq.worker, "POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.2)
    bench = Bench(redis_url, short_folder, stock=request.param == "stock")
    yield bench
    bench.close()


@pytest.fixture
def our_bench(redis_url: str, short_folder: Path) -> Iterator[Bench]:
    """A bench for our broker."""
    bench = Bench(redis_url, short_folder, stock=False)
    yield bench
    bench.close()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="rf-") as folder:
        yield Path(folder)


@pytest.fixture
def private_redis(short_folder: Path) -> Iterator[RedisServer]:
    """A Redis server of this test's own, that it may fill, kill and start again."""
    folder = short_folder / "redis"
    folder.mkdir()
    server = RedisServer(find_binaries().redis_server, folder, short_folder, "secret")
    server.start({})
    yield server
    server.start({})
    server.stop()
