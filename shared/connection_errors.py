"""What went wrong with a connection, in one sentence for the user; passwords are never in it."""

from __future__ import annotations

import socket
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import redis

from shared.database_url import DatabaseAddress
from shared.errors import DatabaseAway, QueueAway, RunferryError, SettingsError

#: What asyncpg raises where the connection is gone, or the server takes it away.
DATABASE_LOST: Final = (
    asyncpg.PostgresConnectionError,
    # "connection is closed", "another operation is in progress": what is left of it is of no use.
    asyncpg.InterfaceError,
    # What a dying server leaves in the middle of an answer.
    asyncpg.InternalClientError,
    # Shutting down, starting, in recovery, cancelled.
    asyncpg.OperatorInterventionError,
)

#: Whatever an attempt to work with PostgreSQL may raise, from an unknown host to a refused statement.
DATABASE_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


def explain_database(error: Exception, address: DatabaseAddress) -> RunferryError:
    """Return the sentence for an error while connecting; SettingsError where only the user can mend it."""
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return SettingsError(
                f"PostgreSQL at {address.place} refused the user {address.user!r} or its password; "
                "check both in DATABASE_URL."
            )
        case asyncpg.InvalidCatalogNameError():
            return SettingsError(
                f"The database {address.database!r} does not exist on {address.place}; "
                "create it or correct the name in DATABASE_URL."
            )
        case asyncpg.InsufficientPrivilegeError():
            return SettingsError(f"PostgreSQL at {address.place} refused the connection: {error}.")
        case asyncpg.TooManyConnectionsError():
            return DatabaseAway(
                f"PostgreSQL at {address.place} has no connection left; try again, or raise its limit."
            )
        case asyncpg.CannotConnectNowError():
            return DatabaseAway(f"PostgreSQL at {address.place} is starting or stopping; try again in a moment.")
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return DatabaseAway(f"PostgreSQL at {address.place} refused the connection: {_first_line(error)}")
        case socket.gaierror():
            return DatabaseAway(f"The host {address.host!r} of DATABASE_URL is unknown; check its name.")
        case FileNotFoundError():
            return DatabaseAway(f"There is no socket of PostgreSQL in {address.place}; is it running?")
        case TimeoutError():
            return DatabaseAway(f"PostgreSQL at {address.place} did not answer in time.")
        case OSError():
            return DatabaseAway(
                f"Nothing answers at {address.place}, where DATABASE_URL says PostgreSQL is; is it running?"
            )
        case _:
            return SettingsError(f"DATABASE_URL can't be used: {_first_line(error)}")


def explain_redis(error: Exception, url: str) -> RunferryError:
    """Return the sentence for an error of redis-py: SettingsError where only the user can mend it."""
    place = redis_place(url)
    match error:
        case redis.AuthenticationError() | redis.exceptions.NoPermissionError():
            return SettingsError(f"Redis at {place} refused the password or user; check both in REDIS_URL.")
        case redis.BusyLoadingError():
            return QueueAway(f"Redis at {place} is loading its data; try again in a moment.")
        case redis.exceptions.OutOfMemoryError():
            return QueueAway(
                f"Redis at {place} has reached its memory limit; let the workers drain it, or raise maxmemory."
            )
        case redis.TimeoutError():
            return QueueAway(f"Redis at {place} did not answer in time.")
        case redis.ConnectionError() if _unknown_host(error):
            return QueueAway(f"The host of REDIS_URL is unknown ({place}); check its name.")
        case redis.ConnectionError() | OSError():
            return QueueAway(f"Nothing answers at {place}, where REDIS_URL says Redis is; is it running?")
        case _:
            return QueueAway(f"Redis at {place} refused: {_first_line(error)}")


def check_redis_url(url: str) -> str:
    """Return `url`; raises SettingsError where it is no Redis URL."""
    example = "redis://HOST:6379/0, rediss://HOST:6379/0 or unix:///PATH/redis.sock?db=0"
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ("redis", "rediss", "unix"):
        said = f"starts with {scheme}://" if separator else "is no URL"
        raise SettingsError(f"REDIS_URL {said}; it must look like {example}.")
    try:
        parts = urlsplit(url)
        _ = parts.port
        database = parts.path.removeprefix("/")
        if scheme != "unix" and database and not database.isdecimal():
            raise ValueError(database)
    except ValueError:
        raise SettingsError(
            f"REDIS_URL can't be read; it must look like {example}, "
            "with every special character of user and password percent-encoded."
        ) from None
    return url


def redis_place(url: str) -> str:
    """Return host, port and database number of a Redis URL, or its socket: without user and password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return parts.netloc.rpartition("@")[2] + (parts.path if parts.path != "/" else "")


def redact_redis_url(url: str) -> str:
    """Return the URL with `***` for its password."""
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    query = "&".join(
        f"{pair.partition('=')[0]}=***" if "password" in pair.partition("=")[0] else pair
        for pair in parts.query.split("&")
        if pair
    )
    return f"{parts.scheme}://{user}{colon and ':***'}{at}{hosts}{parts.path}" + (query and f"?{query}")


def _unknown_host(error: BaseException) -> bool:
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, socket.gaierror):
            return True
        chain = chain.__cause__ or chain.__context__
    return False


def _first_line(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0].strip()
    return line if line.endswith((".", "!", "?")) else f"{line}."
