"""The fixtures themselves: each test has stores of its own."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
import redis

from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.settings import Settings


@pytest.mark.parametrize("time", ["first", "second"])
def test_every_test_has_empty_stores_of_its_own(settings: Settings, time: str) -> None:
    assert settings.database_url is not None
    assert settings.redis_url is not None
    address = DatabaseAddress.parse(settings.database_url.get_secret_value())

    async def insert() -> int:
        connection: asyncpg.Connection = await connect(address, settings)
        try:
            await connection.execute(
                """INSERT INTO "User" VALUES ('u', 'u', 'u@example.invalid', NULL, now(), now()) """
            )
            return int(await connection.fetchval("SELECT count(*) FROM runferry.ledger"))
        finally:
            await connection.close()

    assert asyncio.run(insert()) == 0
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        assert client.dbsize() == 0
        client.set("key", time)


def test_the_empty_database_is_empty(empty_database_url: str) -> None:
    async def tables() -> int:
        connection = await asyncpg.connect(DatabaseAddress.parse(empty_database_url).dsn)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        finally:
            await connection.close()

    assert asyncio.run(tables()) == 0
