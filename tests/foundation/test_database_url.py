"""DATABASE_URL as Prisma writes it."""

from __future__ import annotations

import pytest

from shared.database import connection_arguments
from shared.database_url import DatabaseAddress
from shared.errors import SettingsError
from shared.settings import Settings


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_url_of_prisma_is_read_whole(scheme: str) -> None:
    address = DatabaseAddress.parse(
        f"{scheme}://ann%40x:p%40ss%2Fword@db.example:6000/app%20db"
        "?schema=web&connection_limit=4&pool_timeout=7&connect_timeout=3&sslmode=require&socket_timeout=9"
    )

    assert (address.host, address.port, address.user, address.database) == ("db.example", 6000, "ann@x", "app db")
    assert (address.schema, address.connection_limit) == ("web", 4)
    assert (address.pool_timeout_s, address.connect_timeout_s) == (7.0, 3.0)
    assert address.dsn == "postgresql://ann%40x:p%40ss%2Fword@db.example:6000/app%20db?sslmode=require"


def test_what_is_not_said_is_prismas_default() -> None:
    address = DatabaseAddress.parse("postgresql://ann@db.example/app")

    assert (address.port, address.schema, address.connection_limit) == (5432, "public", None)
    assert not address.transaction_pooler


def test_a_time_out_of_zero_means_none() -> None:
    assert DatabaseAddress.parse("postgresql://ann@db/app?pool_timeout=0").pool_timeout_s is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:secret@localhost:6001/app?host=/run/pg&schema=web",
        "postgresql://ann:secret@/app?host=%2Frun%2Fpg&port=6001",
        "postgresql://ann:secret@%2Frun%2Fpg:6001/app",
    ],
)
def test_a_sockets_folder_is_the_host(url: str) -> None:
    address = DatabaseAddress.parse(url)

    assert (address.host, address.port, address.place) == ("/run/pg", 6001, "/run/pg")


def test_the_host_parameter_wins_over_the_host_before_it() -> None:
    address = DatabaseAddress.parse("postgresql://ann@localhost:6001/app?host=/run/pg")

    assert address.dsn == "postgresql://ann@/app?host=%2Frun%2Fpg&port=6001"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:secret@db:5432/app?pgbouncer=true",
        "postgresql://postgres.abc:secret@aws-0-eu.pooler.supabase.com:6543/postgres",
        "postgresql://ann:secret@ep-cool-123-pooler.eu.aws.neon.tech/app",
    ],
)
def test_a_transaction_pooler_gets_no_prepared_statements_and_no_session_settings(url: str) -> None:
    address = DatabaseAddress.parse(url)
    arguments = connection_arguments(address, Settings.from_environment())

    assert address.transaction_pooler
    assert arguments["statement_cache_size"] == 0
    assert arguments["server_settings"] == {"timezone": "UTC"}
    assert arguments["command_timeout"] == 60.0


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres.abc:secret@aws-0-eu.pooler.supabase.com:5432/postgres",
        "postgresql://ann:secret@ep-cool-123.eu.aws.neon.tech/app",
        "postgresql://ann:secret@db:6543/app",
        "postgresql://ann:secret@ep-cool-123-pooler.eu.aws.neon.tech/app?pgbouncer=false",
    ],
)
def test_other_addresses_are_no_transaction_pooler(url: str) -> None:
    assert not DatabaseAddress.parse(url).transaction_pooler


def test_a_schema_behind_a_transaction_pooler_is_refused() -> None:
    address = DatabaseAddress.parse("postgresql://ann:secret@db/app?pgbouncer=true&schema=web")

    with pytest.raises(SettingsError, match=r"schema=web; use the direct URL\.$"):
        connection_arguments(address, Settings.from_environment())


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("sslmode=require&sslcert=/ca.pem", "sslmode=require&sslrootcert=%2Fca.pem"),
        ("sslcert=/ca.pem&sslaccept=strict", "sslmode=verify-full&sslrootcert=%2Fca.pem"),
        ("sslmode=require&sslaccept=accept_invalid_certs", "sslmode=require"),
        (
            "sslmode=verify-full&sslcert=/c.pem&sslkey=/k.pem",
            "sslcert=%2Fc.pem&sslkey=%2Fk.pem&sslmode=verify-full",
        ),
    ],
)
def test_prismas_certificates_are_libpqs(given: str, passed: str) -> None:
    assert DatabaseAddress.parse(f"postgresql://ann@db/app?{given}").dsn == f"postgresql://ann@db/app?{passed}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret@db:5432/app?sslpassword=s3cret",
        "postgresql://ann:s3cret@@db/app",
        "postgresql://ann@db/app?password=s3cret",
        "postgresql://:s3cret@db/app",
    ],
)
def test_a_password_is_in_no_text_of_an_address(url: str) -> None:
    address = DatabaseAddress.parse(url)

    assert "s3cret" not in f"{address} {address!r} {address.redacted} {address.place}"
    assert "s3cret" in address.url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://ann:s3cret@db/app", "DATABASE_URL starts with mysql://; it must look like"),
        ("ann:s3cret@db/app", "DATABASE_URL is no URL; it must look like"),
        ("postgresql://ann:s3cret/x@db/app", "DATABASE_URL can't be read"),
        ("postgresql://ann:s3cret#x@db/app", "DATABASE_URL can't be read"),
        ("postgresql://ann:s3cret@db:54a/app", "DATABASE_URL can't be read"),
        ("postgresql://ann:s3cret@db/app?connection_limit=many", "connection_limit=many must be a whole number"),
        ("postgresql://ann:s3cret@db/app?pool_timeout=long", "pool_timeout=long must be a number of seconds"),
        ("postgresql://ann:s3cret@db/app?port=x", "port=x is no number"),
        ("postgresql://ann:s3cret@db/app?sslmode=always", "sslmode=always is none of disable"),
        ("postgresql://ann:s3cret@db/app?sslidentity=/id.p12", "sslidentity"),
    ],
)
def test_a_wrong_url_is_told_in_a_sentence_without_the_password(url: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as raised:
        DatabaseAddress.parse(url)

    assert sentence in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
