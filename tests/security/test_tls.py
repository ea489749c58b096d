"""TLS to both stores, with an authority of the test's own; the embedded servers speak none, so proxies do for them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import pytest
import redis
import trustme
from real_workers import Site
from tls_proxy import TlsProxy, tls_proxy

from benchmarks.tree import generate
from ops.backup import programs
from ops.backup.libpq import libpq_address
from ops.backup.programs import can_encrypt, find_program
from shared.broker.client import make_client
from shared.connection_errors import explain_database, explain_redis
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.errors import DatabaseAway, QueueAway, RunferryError, SettingsError, UsageError
from shared.settings import Settings

NO_SUCH_FILE = "/nonexistent/ca.pem"


@dataclass(frozen=True)
class Tls:
    """Both stores behind TLS, and behind proxies that refuse it."""

    site: Site
    authority: str
    stranger: str
    database: TlsProxy
    queue: TlsProxy
    plain_database: TlsProxy
    plain_queue: TlsProxy

    def database_url(self, proxy: TlsProxy, query: str, host: str = "localhost") -> str:
        parts = urlsplit(self.site.database_url)
        return f"postgresql://{parts.username}:{parts.password}@{host}:{proxy.port}{parts.path}?{query}"

    def redis_url(self, proxy: TlsProxy, query: str = "", host: str = "localhost", scheme: str = "rediss") -> str:
        parts = urlsplit(self.site.redis_url)
        number = parts.query.removeprefix("db=")
        return f"{scheme}://:{parts.password}@{host}:{proxy.port}/{number}?{query}"


@pytest.fixture
def tls(site: Site, tmp_path: Path) -> Iterator[Tls]:
    ours, strange = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    strange.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("localhost").configure_cert(context)
    address = DatabaseAddress.parse(site.database_url)
    postgres, queue = f"{address.host}/.s.PGSQL.{address.port}", unquote(urlsplit(site.redis_url).path)
    with (
        tls_proxy(postgres, context, postgres=True) as database,
        tls_proxy(queue, context, postgres=False) as redis_tls,
        tls_proxy(postgres, None, postgres=True) as plain_database,
        tls_proxy(queue, None, postgres=False) as plain_queue,
    ):
        yield Tls(
            site,
            *(str(tmp_path / "ca.pem"), str(tmp_path / "stranger.pem")),
            *(database, redis_tls, plain_database, plain_queue),
        )


def ask_database(url: str) -> int:
    async def ask() -> int:
        connection: asyncpg.Connection = await connect(DatabaseAddress.parse(url), Settings.from_environment())
        try:
            found: int = await connection.fetchval("SELECT 1")
            return found
        finally:
            await connection.close()

    return asyncio.run(ask())


def refusal_of_database(url: str) -> RunferryError:
    with pytest.raises(RunferryError) as refusal:
        ask_database(url)
    return refusal.value


def refusal_of_redis(url: str) -> RunferryError:
    client = make_client(url, timeout_s=1.0, retried=False)
    with pytest.raises(redis.RedisError) as refusal:
        client.ping()
    client.close()
    return explain_redis(refusal.value, url)


def test_a_worker_and_a_backfill_reach_both_stores_by_tls_alone(tls: Tls) -> None:
    site = tls.site
    generate(site.settings.root, 2)
    trusted = quote(tls.authority, safe="")
    encrypted = {
        "DATABASE_URL": tls.database_url(tls.database, f"sslmode=verify-full&sslrootcert={trusted}"),
        "REDIS_URL": tls.redis_url(tls.queue, f"ssl_ca_certs={trusted}"),
    }
    site.start_worker(**encrypted)
    ended = site.backfill("--wait", **encrypted)
    assert ended.status == 0, ended.stderr
    assert ended.json["applied"] == ended.json["outputs"] > 0
    assert tls.database.encrypted > 1
    assert tls.queue.encrypted > 1


def test_each_sslmode_does_what_it_says(tls: Tls) -> None:
    trusted, strange = f"sslrootcert={tls.authority}", f"sslrootcert={tls.stranger}"
    for query in (
        "sslmode=prefer",
        "sslmode=require",
        f"sslmode=verify-ca&{trusted}",
        f"sslmode=verify-full&{trusted}",
    ):
        before = tls.database.encrypted
        assert ask_database(tls.database_url(tls.database, query)) == 1
        assert tls.database.encrypted == before + 1, query
    assert ask_database(tls.database_url(tls.database, f"sslmode=verify-ca&{trusted}", host="127.0.0.1")) == 1
    for query, host in (
        (f"sslmode=verify-full&{strange}", "localhost"),
        (f"sslmode=verify-full&{trusted}", "127.0.0.1"),
    ):
        untrusted = refusal_of_database(tls.database_url(tls.database, query, host))
        assert isinstance(untrusted, SettingsError)
        assert "shows a certificate that is not trusted" in str(untrusted)
        assert "sslrootcert=FILE" in str(untrusted)
    missing = refusal_of_database(
        tls.database_url(tls.database, f"sslmode=verify-full&sslrootcert={NO_SUCH_FILE}")
    )
    assert "a file that it names for TLS" in str(missing)


def test_a_postgresql_without_tls_is_refused_where_it_is_demanded_and_taken_where_it_is_preferred(
    tls: Tls,
) -> None:
    refused = refusal_of_database(tls.database_url(tls.plain_database, "sslmode=require"))
    assert isinstance(refused, SettingsError)
    assert "speaks no TLS, and DATABASE_URL demands it (sslmode=require)" in str(refused)
    assert ask_database(tls.database_url(tls.plain_database, "sslmode=prefer")) == 1


def test_the_authorities_of_this_machine_are_trusted_where_the_address_says_so(tls: Tls) -> None:
    if ssl.get_default_verify_paths().cafile is None:
        with pytest.raises(SettingsError, match="no file of trusted authorities"):
            DatabaseAddress.parse("postgresql://db/x?sslmode=verify-full&sslrootcert=system")
        return
    for query in ("sslmode=verify-full&sslrootcert=system", "sslaccept=strict"):
        untrusted = refusal_of_database(tls.database_url(tls.database, query))
        assert "shows a certificate that is not trusted" in str(untrusted), query


def test_redis_is_reached_by_tls_and_what_is_wrong_with_it_is_told(tls: Tls) -> None:
    trusted = make_client(tls.redis_url(tls.queue, f"ssl_ca_certs={tls.authority}"), timeout_s=5, retried=False)
    assert trusted.ping()
    trusted.close()
    assert tls.queue.encrypted == 1
    for url in (
        tls.redis_url(tls.queue, f"ssl_ca_certs={tls.stranger}"),
        tls.redis_url(tls.queue, f"ssl_ca_certs={tls.authority}", host="127.0.0.1"),
    ):
        untrusted = refusal_of_redis(url)
        assert isinstance(untrusted, SettingsError)
        assert "ssl_ca_certs=FILE in REDIS_URL" in str(untrusted)
    missing = refusal_of_redis(tls.redis_url(tls.queue, f"ssl_ca_certs={NO_SUCH_FILE}"))
    assert "a file that it names for TLS" in str(missing)
    plain = refusal_of_redis(tls.redis_url(tls.plain_queue))
    assert isinstance(plain, QueueAway)
    assert "does not answer to TLS" in str(plain)
    unencrypted = refusal_of_redis(tls.redis_url(tls.queue, scheme="redis"))
    assert "wants TLS (rediss://)" in str(unencrypted)


def test_a_parameter_that_redis_does_not_have_is_a_mistake_of_the_url() -> None:
    with pytest.raises(SettingsError, match="there is no parameter ssl_ca_cert"):
        make_client("rediss://:secret@queue/0?ssl_ca_cert=/ca.pem", timeout_s=1, retried=False)


def test_a_server_that_takes_only_encrypted_sessions_is_told_as_such() -> None:
    address = DatabaseAddress.parse("postgresql://ann@db.example/app?sslmode=disable")
    refused = asyncpg.InvalidAuthorizationSpecificationError(
        'no pg_hba.conf entry for host "10.0.0.1", user "ann", database "app", no encryption'
    )
    assert "Add sslmode=require to DATABASE_URL." in str(explain_database(refused, address))
    broken = explain_database(ssl.SSLError(1, "handshake failure"), address)
    assert isinstance(broken, DatabaseAway)
    assert "TLS with PostgreSQL at db.example:5432 failed" in str(broken)


def test_postgresqls_programs_get_the_same_demands_and_no_password() -> None:
    address = DatabaseAddress.parse(
        "postgresql://ann:s3cret@db.example/app?sslmode=verify-full&sslrootcert=/ca.pem"
    )
    told = libpq_address(address, Settings.from_environment())
    assert told.uri == "postgresql://ann@db.example/app?sslmode=verify-full&sslrootcert=%2Fca.pem"
    assert told.environment["PGPASSWORD"] == "s3cret"


def test_a_pg_dump_that_was_built_without_tls_is_not_used_where_it_is_demanded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dumps = (program for program in programs.installed("pg_dump") if program.major >= 18)
    embedded = tuple(program for program in dumps if "pixeltable" in str(program.path))
    assert embedded
    assert not can_encrypt(embedded[0].path)
    monkeypatch.setattr(programs, "installed", lambda name: embedded)
    demanding = DatabaseAddress.parse("postgresql://db.example/app?sslmode=require")
    with pytest.raises(UsageError, match=r"sslmode=require demands TLS, and .* was built without: install"):
        find_program("pg_dump", 18, "why", demanding)
    assert find_program("pg_dump", 18, "why", DatabaseAddress.parse("postgresql://db.example/app")) == embedded[0]
