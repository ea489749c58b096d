"""Which stores a command works with, and what it says of them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest
import redis

from shared import embedded
from shared.connection_errors import redact_redis_url, redis_place
from shared.database import connect, create_pool
from shared.database_url import DatabaseAddress
from shared.errors import DatabaseAway, QueueAway, SettingsError, UsageError
from shared.settings import Settings
from shared.store_checks import check_redis, check_stores, faults
from shared.stores import EXAMPLES, Stores, given_stores, own_tree_notice, refuse_examples, resolve_stores

DATABASE_URL = "postgresql://ann:s3cret@db.example/app"
REDIS_URL = "redis://:s3cret@queue.example:6379/3"


def test_both_urls_name_the_stores() -> None:
    stores = resolve_stores(Settings.from_environment(database_url=DATABASE_URL, redis_url=REDIS_URL))

    assert (stores.database.host, stores.redis_url, stores.embedded) == ("db.example", REDIS_URL, False)
    assert str(stores) == '"app" at db.example:5432 and Redis at queue.example:6379/3'
    assert "s3cret" not in repr(stores)


def test_neither_url_names_none() -> None:
    assert given_stores(Settings.from_environment()) is None


def test_without_urls_the_embedded_services_are_used(services: embedded.EmbeddedServices) -> None:
    stores = resolve_stores(Settings.from_environment(home=services.home))

    assert stores.embedded
    assert stores.redis_url == services.redis_url
    assert "://" not in str(stores)
    check_stores(stores, Settings.from_environment())


@pytest.mark.parametrize(
    ("given", "missing"),
    [({"database_url": DATABASE_URL}, "REDIS_URL"), ({"redis_url": REDIS_URL}, "DATABASE_URL")],
)
def test_one_url_without_the_other_names_the_missing_one(given: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsError, match=f"and {missing} is not: set both, or neither"):
        resolve_stores(Settings.from_environment(**given))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://queue", "REDIS_URL starts with http://; it must look like redis://"),
        ("queue:6379", "REDIS_URL is no URL; it must look like"),
        ("redis://:s3cret@queue:port/0", "REDIS_URL can't be read"),
        ("redis://:s3cret@queue:6379/zero", "REDIS_URL can't be read"),
    ],
)
def test_a_wrong_redis_url_is_told_in_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as raised:
        given_stores(Settings.from_environment(database_url=DATABASE_URL, redis_url=url))

    assert sentence in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "place", "redacted"),
    [
        ("redis://queue", "queue", "redis://queue"),
        ("rediss://ann:pw@queue:1/2", "queue:1/2", "rediss://ann:***@queue:1/2"),
        ("unix://:pw@/run/r.sock?db=3", "/run/r.sock", "unix://:***@/run/r.sock?db=3"),
        ("unix:///run/r.sock?db=3&password=pw", "/run/r.sock", "unix:///run/r.sock?db=3&password=***"),
    ],
)
def test_a_redis_url_is_shown_without_its_password(url: str, place: str, redacted: str) -> None:
    assert (redis_place(url), redact_redis_url(url)) == (place, redacted)


def embedded_stores(home: Path) -> Stores:
    return Stores(DatabaseAddress.parse(DATABASE_URL), REDIS_URL, embedded=True, home=home)


def own_stores() -> Stores:
    return Stores(DatabaseAddress.parse(DATABASE_URL), REDIS_URL, embedded=False)


def test_the_users_own_tree_in_the_embedded_database_is_announced(tmp_path: Path) -> None:
    notice = own_tree_notice(tmp_path, embedded_stores(tmp_path / ".runferry"))

    assert notice == f"writing to the embedded database at {tmp_path}/.runferry; set DATABASE_URL for your own"


def test_the_examples_and_the_users_own_database_are_not_announced(tmp_path: Path) -> None:
    assert own_tree_notice(EXAMPLES / "runs", embedded_stores(tmp_path)) is None
    assert own_tree_notice(tmp_path, own_stores()) is None


def test_the_examples_are_refused_on_services_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YES", raising=False)

    with pytest.raises(UsageError, match=r"is the example tree, and .* is a database of your own") as raised:
        refuse_examples(EXAMPLES / "runs", own_stores())
    assert "s3cret" not in str(raised.value)


def test_the_examples_are_taken_where_they_belong_or_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_examples(tmp_path, own_stores())
    refuse_examples(EXAMPLES, embedded_stores(tmp_path))
    monkeypatch.setenv("YES", "1")
    refuse_examples(EXAMPLES, own_stores())


def connecting(url: str) -> Exception:
    settings = Settings.from_environment(connect_timeout="2s")

    async def both() -> list[Exception]:
        raised: list[Exception] = []
        for connecting in (connect, create_pool):
            with pytest.raises((SettingsError, DatabaseAway)) as caught:
                await connecting(DatabaseAddress.parse(url), settings)
            raised.append(caught.value)
        return raised

    first, second = asyncio.run(both())
    assert str(first) == str(second)
    assert "s3cret" not in str(first)
    return first


def test_a_wrong_password_is_told(database_url: str) -> None:
    error = connecting(re.sub(r":[0-9a-f]{20,}@", ":s3cret@", database_url))

    assert isinstance(error, SettingsError)
    assert "refused the user 'runferry' or its password; check both in DATABASE_URL." in str(error)


def test_a_user_that_is_unknown_is_told(database_url: str) -> None:
    assert "refused the user 'ann' or its password" in str(
        connecting(database_url.replace("//runferry:", "//ann:"))
    )


def test_a_database_that_does_not_exist_is_told(services: embedded.EmbeddedServices) -> None:
    error = connecting(services.database_url.replace("/runferry?", "/nowhere?"))

    assert isinstance(error, SettingsError)
    assert "The database 'nowhere' does not exist" in str(error)


def test_an_unknown_host_is_told() -> None:
    error = connecting("postgresql://ann:s3cret@nowhere.invalid/app")

    assert isinstance(error, DatabaseAway)
    assert str(error) == "The host 'nowhere.invalid' of DATABASE_URL is unknown; check its name."


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refused_port_is_told(host: str) -> None:
    error = connecting(f"postgresql://ann:s3cret@{host}:1/app")

    assert isinstance(error, DatabaseAway)
    assert str(error).startswith(f"Nothing answers at {host}:1, where DATABASE_URL says PostgreSQL is")


def test_a_missing_socket_is_told(tmp_path: Path) -> None:
    assert "no socket of PostgreSQL in" in str(
        connecting(f"postgresql://ann:s3cret@localhost/app?host={tmp_path}")
    )


def redis_fault(url: str) -> Exception:
    settings = Settings.from_environment(connect_timeout="2s")
    with pytest.raises((SettingsError, QueueAway)) as raised:
        check_redis(Stores(DatabaseAddress.parse(DATABASE_URL), url, embedded=False), settings)
    assert "s3cret" not in str(raised.value)
    return raised.value


def test_a_wrong_redis_password_is_told(services: embedded.EmbeddedServices) -> None:
    error = redis_fault(re.sub(r":[0-9a-f]{20,}@", ":s3cret@", services.redis_url))

    assert isinstance(error, SettingsError)
    assert str(error).endswith("refused the password or user; check both in REDIS_URL.")


def test_a_missing_redis_password_is_told(services: embedded.EmbeddedServices) -> None:
    error = redis_fault(re.sub(r":[0-9a-f]{20,}@", "", services.redis_url))

    assert str(error).endswith("refused the password or user; check both in REDIS_URL.")


def test_a_redis_that_is_away_is_told(tmp_path: Path) -> None:
    assert "Nothing answers at 127.0.0.1:1/0" in str(redis_fault("redis://:s3cret@127.0.0.1:1/0"))
    assert "The host of REDIS_URL is unknown (nowhere.invalid:6379)" in str(
        redis_fault("redis://:s3cret@nowhere.invalid:6379")
    )
    assert f"Nothing answers at {tmp_path}/r.sock" in str(redis_fault(f"unix://:s3cret@{tmp_path}/r.sock"))


def test_each_store_that_is_away_has_its_sentence() -> None:
    settings = Settings.from_environment(connect_timeout="2s")
    stores = Stores(
        DatabaseAddress.parse("postgresql://ann@127.0.0.1:1/app"), "redis://127.0.0.1:1", embedded=False
    )

    assert [sentence.split(",")[0] for sentence in faults(stores, settings)] == [
        "Nothing answers at 127.0.0.1:1",
        "Nothing answers at 127.0.0.1:1",
    ]


def test_a_session_is_in_utc_in_its_schema_with_a_statement_time_out(database_url: str) -> None:
    settings = Settings.from_environment(statement_timeout="7s")
    address = DatabaseAddress.parse(f"{database_url}&schema=we%22b")

    async def shown() -> list[str]:
        connection = await connect(address, settings)
        try:
            names = ("timezone", "search_path", "statement_timeout")
            return [await connection.fetchval(f"SHOW {name}") for name in names]
        finally:
            await connection.close()

    assert asyncio.run(shown()) == ["UTC", '"we""b"', "7s"]


def test_a_pool_is_as_large_as_the_settings_or_the_url_say(database_url: str) -> None:
    settings = Settings.from_environment(pool_min_size=2, pool_max_size=3)

    async def sizes(url: str) -> tuple[int, int]:
        pool = await create_pool(DatabaseAddress.parse(url), settings)
        try:
            return pool.get_min_size(), pool.get_max_size()
        finally:
            await pool.close()

    assert asyncio.run(sizes(database_url)) == (2, 3)
    assert asyncio.run(sizes(f"{database_url}&connection_limit=1")) == (1, 1)


def test_the_embedded_urls_work_as_they_stand(services: embedded.EmbeddedServices) -> None:
    async def database() -> str:
        connection = await asyncpg.connect(services.database_url)
        try:
            return str(await connection.fetchval("SELECT current_database()"))
        finally:
            await connection.close()

    assert asyncio.run(database()) == "runferry"
    with redis.Redis.from_url(services.redis_url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_whoever_has_a_connection_of_the_pool_next_finds_nothing_of_the_last(database_url: str) -> None:
    address = DatabaseAddress.parse(f"{database_url}{'&' if '?' in database_url else '?'}connection_limit=1")

    async def found() -> tuple[object, ...]:
        async with await create_pool(address, Settings.from_environment()) as pool:
            async with pool.acquire() as first, first.transaction():
                backend = await first.fetchval("SELECT pg_backend_pid()")
                await first.execute("SELECT set_config('lock_timeout', '7', true), pg_advisory_xact_lock(7)")
            async with pool.acquire() as second:
                await second.execute("BEGIN; SELECT pg_advisory_xact_lock(7)")
            async with pool.acquire() as third:
                return (
                    await third.fetchval("SELECT pg_backend_pid()") == backend,
                    await third.fetchval("SHOW lock_timeout"),
                    await third.fetchval(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
                    ),
                    third.is_in_transaction(),
                )

    assert asyncio.run(found()) == (True, "0", 0, False)
