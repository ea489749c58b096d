"""Connections to PostgreSQL: in UTC, with a statement time-out, in the schema that the URL names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import asyncpg

from shared.connection_errors import DATABASE_ERRORS, explain_database
from shared.database_url import DatabaseAddress
from shared.errors import SettingsError
from shared.settings import Settings


async def connect(address: DatabaseAddress, settings: Settings) -> asyncpg.Connection:
    """Return an open connection; raises SettingsError or DatabaseAway with a sentence for the user."""
    try:
        return await asyncpg.connect(**connection_arguments(address, settings))
    except (*DATABASE_ERRORS, ValueError) as error:
        raise explain_database(error, address) from error


async def create_pool(
    address: DatabaseAddress, settings: Settings, session: Mapping[str, str] = MappingProxyType({})
) -> asyncpg.Pool:
    """Return an open pool, as large as the settings say or `connection_limit` of the URL; raises as `connect`.

    Each connection has the settings of `session` from its begin on; behind a transaction pooler none has, since the
    session is everybody's there. Whoever has a connection changes nothing that outlives a transaction: no SET, no
    LISTEN, no lock of a session.
    """

    async def begin(connection: asyncpg.Connection) -> None:
        if address.transaction_pooler:
            return
        # Not with the start of the session: poolers of sessions refuse there what they don't know.
        for name, value in session.items():
            await connection.execute("SELECT set_config($1, $2, false)", name, value)

    most = address.connection_limit or settings.pool_max_size
    try:
        return await asyncpg.create_pool(
            min_size=min(settings.pool_min_size, most),
            max_size=most,
            init=begin,
            reset=_left_as_it_is,
            **connection_arguments(address, settings),
        )
    except (*DATABASE_ERRORS, ValueError) as error:
        raise explain_database(error, address) from error


async def _left_as_it_is(_: asyncpg.Connection) -> None:
    """Spare the trip by which asyncpg resets the session: every message would wait for it after its commit.

    asyncpg rolls back what is open before it calls this.
    """


def connection_arguments(address: DatabaseAddress, settings: Settings) -> dict[str, Any]:
    """Return all that asyncpg is told for this address, the session's settings among it."""
    timeout_s = address.connect_timeout_s or settings.connect_timeout.total_seconds()
    statement_timeout_s = settings.statement_timeout.total_seconds()
    session = {"timezone": "UTC"}
    if address.transaction_pooler:
        # Poolers refuse other settings at the start, and a SET would reach whoever gets the connection next:
        # the statement time-out is the client's there.
        if address.schema != "public":
            raise SettingsError(
                f"DATABASE_URL: a transaction pooler can't keep schema={address.schema}; use the direct URL."
            )
        return {
            **address.connect_arguments(),
            "timeout": timeout_s,
            "command_timeout": statement_timeout_s,
            "server_settings": session,
        }
    session["search_path"] = '"' + address.schema.replace('"', '""') + '"'
    session["statement_timeout"] = str(round(statement_timeout_s * 1000))
    return {**address.connect_arguments(), "timeout": timeout_s, "server_settings": session}
