"""Databases of a server as a whole: made, swapped and dropped from a session in another one."""

from __future__ import annotations

import asyncio
import hashlib
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

#: Between the name of a database and the time, in the name of one that is filled to take its place.
RESTORING: Final = "_restoring_"
#: Databases that every server has, to stand in while another one is made or renamed.
_NEUTRAL: Final = ("postgres", "template1")
_SWAP_TRIES: Final = 5
_CLAIM_TRIES: Final = 20
_CLAIM_PAUSE_S: Final = 0.25
_MOST_NAME_BYTES: Final = 63
#: Of the hash of a name that had to be shortened: enough to tell databases of one server apart.
_HASH_DIGITS: Final = 8


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


async def mark(connection: asyncpg.Connection, filled: str, name: str) -> None:
    """Note at a database that it is being filled, to take the place of `name`."""
    await connection.execute(f"COMMENT ON DATABASE {quoted(filled)} IS {_literal(_unfinished(name))}")


async def unmark(connection: asyncpg.Connection, filled: str) -> None:
    """Note at a database that it is not being filled any more."""
    await connection.execute(f"COMMENT ON DATABASE {quoted(filled)} IS NULL")


async def clear_unfinished(connection: asyncpg.Connection, name: str) -> None:
    """Drop what killed restores in the place of `name` left, and nothing else; to be called with the claim."""
    for record in await connection.fetch(QUERIES["unfinished"], _unfinished(name), f"{name}{RESTORING}"):
        await drop(connection, record["name"])


def _unfinished(name: str) -> str:
    return f'runferry: a restore in the place of "{name}" is under way'


def _literal(text: str) -> str:
    # The same under every setting of standard_conforming_strings.
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


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
                await unmark(connection, name)
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
    """Return the name with a suffix; one that is too long for PostgreSQL is shortened, and told apart by a hash."""
    if len((name + suffix).encode()) <= _MOST_NAME_BYTES:
        return name + suffix
    told = f"_{hashlib.sha256(name.encode()).hexdigest()[:_HASH_DIGITS]}{suffix}"
    room = _MOST_NAME_BYTES - len(told.encode())
    return name.encode()[:room].decode("utf-8", "ignore") + told
