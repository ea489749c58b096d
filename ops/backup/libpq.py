"""Addresses for PostgreSQL's own programs: the password goes by the environment, never into a process list."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from shared.database import connection_arguments
from shared.database_url import DatabaseAddress
from shared.errors import SettingsError, UsageError
from shared.settings import Settings
from shared.stores import resolve_stores

#: What a shell may have set for psql must not bend what is said here.
_MISLEADING = ("PGOPTIONS", "PGSERVICE", "PGSERVICEFILE", "PGDATABASE")


@dataclass(frozen=True, slots=True)
class LibpqAddress:
    """A connection string without a password, and the environment that holds it."""

    uri: str
    environment: Mapping[str, str] = field(repr=False)


def libpq_address(address: DatabaseAddress, settings: Settings) -> LibpqAddress:
    """Return the address as pg_dump, pg_restore and psql take it; raises SettingsError where they can't have it."""
    parts = urlsplit(address.dsn)
    credentials, at, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    password = parameters.pop("password", "") or unquote(password)
    if "sslpassword" in parameters:
        raise SettingsError(
            "DATABASE_URL: PostgreSQL's programs can be told an sslpassword only where every process list shows it; "
            "use a key without one for backups."
        )
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    environment["PGAPPNAME"] = "runferry"
    environment["PGCONNECT_TIMEOUT"] = str(max(2, round(connection_arguments(address, settings)["timeout"])))
    if password:
        environment["PGPASSWORD"] = password
    query = urlencode(parameters, quote_via=quote)
    return LibpqAddress(urlunsplit((parts.scheme, f"{user}{at}{hosts}", parts.path, query, "")), environment)


def database_address(settings: Settings) -> DatabaseAddress:
    """Return the database that the settings name, or the embedded one; Redis need not be there to go back.

    Raises UsageError behind a transaction pooler: a snapshot needs a session.
    """
    if settings.database_url is not None:
        address = DatabaseAddress.parse(settings.database_url.get_secret_value())
    else:
        address = resolve_stores(settings).database
    if address.transaction_pooler:
        raise UsageError(
            f"{address.place} is a transaction pooler, and a snapshot needs a session of its own: "
            "give the direct address of the database (--database-url)."
        )
    return address


def on_database(address: DatabaseAddress, name: str) -> DatabaseAddress:
    """Return the address of another database of the same server."""

    def renamed(url: str) -> str:
        parts = urlsplit(url)
        parameters = [(key, value) for key, value in parse_qsl(parts.query) if key != "dbname"]
        query = urlencode(parameters, quote_via=quote, safe="/")
        return urlunsplit((parts.scheme, parts.netloc, "/" + quote(name, safe=""), query, ""))

    return replace(DatabaseAddress.parse(renamed(address.url)), transaction_pooler=address.transaction_pooler)


def patient(settings: Settings) -> Settings:
    """Return the settings for work that takes as long as it takes: no statement is cut off."""
    unlimited: dict[str, Any] = {"statement_timeout": settings.statement_timeout * 0}
    return settings.model_copy(update=unlimited)
