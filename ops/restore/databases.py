"""Databases of a server as a whole: made, swapped and dropped from a session in another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from ops.backup.libpq import on_database, patient
from ops.restore.queries import QUERIES
from ops.schema.identifiers import quoted
from shared.database import connect
from shared.database_url import DatabaseAddress
from shared.errors import SettingsError, UsageError
from shared.settings import Settings

#: Databases that every server has, to stand in while another one is made or renamed.
_NEUTRAL: Final = ("postgres", "template1")
_SWAP_TRIES: Final = 5
_CLAIM_TRIES: Final = 20
_CLAIM_PAUSE_S: Final = 0.25
#: The comment of a database that is not what it shall be yet, as SQL.
_UNFINISHED: Final = "'runferry: a restore is under way'"
_MOST_NAME_BYTES: Final = 63


@asynccontextmanager
async def administration(address: DatabaseAddress, settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """Yield a session in a neutral database of the server; in its own where there is no other."""
    connection: asyncpg.Connection | None = None
    for name in _NEUTRAL:
        try:
            connection = await connect(on_database(address, name), patient(settings))
            break
        except SettingsError:
            continue
    if connection is None:
        connection = await connect(address, patient(settings))
    try:
        yield connection
    finally:
        connection.terminate()


async def names(connection: asyncpg.Connection) -> frozenset[str]:
    """Return the names of all databases of the server."""
    return frozenset(record["name"] for record in await connection.fetch(QUERIES["databases"]))


async def create(connection: asyncpg.Connection, name: str) -> None:
    """Make an empty database; raises UsageError where the role may not, or the name is no name."""
    if not name or len(name.encode()) > _MOST_NAME_BYTES or "\0" in name:
        raise UsageError(f"{name!r} can't be the name of a database: it has 1 to {_MOST_NAME_BYTES} bytes.")
    try:
        # From template0, since a dump expects that nothing was added to the database it goes into.
        await connection.execute(f"CREATE DATABASE {quoted(name)} TEMPLATE template0")
    except asyncpg.InsufficientPrivilegeError as error:
        raise UsageError(
            f"This role may not make databases ({error}): ALTER ROLE … CREATEDB, or give an empty one."
        ) from None
    except asyncpg.DuplicateDatabaseError:
        raise UsageError(f'The database "{name}" was made by somebody else at this moment.') from None


async def claim(connection: asyncpg.Connection, name: str) -> None:
    """Keep other restores in the place of this database away for this session; raises UsageError where one runs."""
    for _ in range(_CLAIM_TRIES):
        if await connection.fetchval(QUERIES["claim"], name):
            return
        # The session of one that was just killed lives until the server notices.
        await asyncio.sleep(_CLAIM_PAUSE_S)
    raise UsageError(f'Another restore in the place of the database "{name}" is under way.')


async def mark(connection: asyncpg.Connection, name: str, *, unfinished: bool) -> None:
    """Note at a database that it is being filled, or that it is not any more."""
    await connection.execute(f"COMMENT ON DATABASE {quoted(name)} IS {_UNFINISHED if unfinished else 'NULL'}")


async def clear_unfinished(connection: asyncpg.Connection, prefix: str) -> None:
    """Drop what killed restores left: databases so marked whose names begin like this; to be called with the claim."""
    for record in await connection.fetch(QUERIES["unfinished"], prefix, _UNFINISHED.strip("'")):
        await drop(connection, record["name"])


async def drop(connection: asyncpg.Connection, name: str) -> None:
    """Drop a database that was made for the purpose, whoever is in it."""
    await connection.execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")


async def swap(connection: asyncpg.Connection, name: str, replacement: str, aside: str) -> None:
    """Give `replacement` the name `name`, whose database is called `aside` from then on; both or none.

    Raises UsageError where sessions keep coming.
    """
    for _ in range(_SWAP_TRIES):
        await connection.fetchval(QUERIES["end_sessions"], [name, replacement])
        try:
            async with connection.transaction():
                await connection.execute(f"ALTER DATABASE {quoted(name)} RENAME TO {quoted(aside)}")
                await connection.execute(f"ALTER DATABASE {quoted(replacement)} RENAME TO {quoted(name)}")
                await mark(connection, name, unfinished=False)
        except asyncpg.ObjectInUseError:
            await asyncio.sleep(0)
        else:
            return
    who = ", ".join(record["who"] for record in await connection.fetch(QUERIES["sessions"], name))
    raise UsageError(
        f'Sessions keep coming into the database "{name}" ({who or "they are gone by now"}): stop the workers and '
        f'the web app, then run this again. "{name}" is as it was.'
    )


def suffixed(name: str, suffix: str) -> str:
    """Return the name with a suffix, shortened so that PostgreSQL takes it."""
    room = _MOST_NAME_BYTES - len(suffix.encode())
    return name.encode()[:room].decode("utf-8", "ignore") + suffix
