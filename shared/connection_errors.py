"""What went wrong with a connection, in one sentence for the user; passwords are never in it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Final, TypeVar
from urllib.parse import urlsplit

import asyncpg
import redis

from shared.database_url import DatabaseAddress
from shared.errors import DatabaseAway, QueueAway, RunferryError, SettingsError
from shared.secrets import hide_passwords

E = TypeVar("E", bound=BaseException)

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
        case asyncpg.InvalidAuthorizationSpecificationError() if "pg_hba.conf" in str(error):
            todo = " Add sslmode=require to DATABASE_URL." if "no encryption" in str(error) else ""
            return SettingsError(
                f"PostgreSQL at {address.place} lets nobody in like this: {_first_line(error)}{todo}"
            )
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
        case ssl.SSLCertVerificationError():
            return SettingsError(
                f"PostgreSQL at {address.place} shows a certificate that is not trusted ({error.verify_message}): "
                "sslrootcert=FILE in DATABASE_URL names its authority, and its host must be the certificate's."
            )
        case ssl.SSLError():
            return DatabaseAway(f"TLS with PostgreSQL at {address.place} failed: {error}.")
        case asyncpg.exceptions.ClientConfigurationError():
            return SettingsError(
                f"DATABASE_URL: {_first_line(error)} sslrootcert=system trusts this machine's authorities."
            )
        case ConnectionError() if "rejected SSL" in str(error):
            demand = f"DATABASE_URL demands it (sslmode={address.ssl_mode})"
            return SettingsError(f"PostgreSQL at {address.place} speaks no TLS, and {demand}.")
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return DatabaseAway(f"PostgreSQL at {address.place} refused the connection: {_first_line(error)}")
        case socket.gaierror():
            return DatabaseAway(f"The host {address.host!r} of DATABASE_URL is unknown; check its name.")
        case FileNotFoundError() if not address.host.startswith("/"):
            return SettingsError(
                "DATABASE_URL: a file that it names for TLS (sslrootcert, sslcert, sslkey) is not there."
            )
        case FileNotFoundError():
            return DatabaseAway(f"There is no socket of PostgreSQL in {address.place}; is it running?")
        case TimeoutError():
            return DatabaseAway(f"PostgreSQL at {address.place} did not answer in time.")
        case OSError():
            return DatabaseAway(
                f"Nothing answers at {address.place}, where DATABASE_URL says PostgreSQL is; is it running?"
            )
        case _:
            return SettingsError(f"DATABASE_URL can't be used: {hide_passwords(_first_line(error))}")


def explain_redis(error: Exception, url: str) -> RunferryError:
    """Return the sentence for an error of redis-py: SettingsError where only the user can mend it."""
    place = redis_place(url)
    match error:
        case redis.exceptions.NoPermissionError():
            what = _first_line(error).rstrip(".")
            return SettingsError(f"Redis at {place} refuses: {what}. Widen this user's ACL; see docs/security.md.")
        case redis.AuthenticationError():
            return SettingsError(f"Redis at {place} refused the password or user; check both in REDIS_URL.")
        case redis.BusyLoadingError():
            return QueueAway(f"Redis at {place} is loading its data; try again in a moment.")
        case redis.exceptions.OutOfMemoryError():
            return QueueAway(
                f"Redis at {place} has reached its memory limit; let the workers drain it, or raise maxmemory."
            )
        case redis.RedisError() if untrusted := _in_chain(error, ssl.SSLCertVerificationError):
            return SettingsError(
                f"Redis at {place} shows a certificate that is not trusted ({untrusted.verify_message}): "
                "ssl_ca_certs=FILE in REDIS_URL names its authority, and its host must be the certificate's."
            )
        case redis.RedisError() if url.startswith("rediss:") and _in_chain(error, FileNotFoundError):
            return SettingsError(
                "REDIS_URL: a file that it names for TLS (ssl_ca_certs, ssl_certfile, …) is not there."
            )
        case redis.TimeoutError() if "handshake" in str(error.__context__):
            return QueueAway(
                f"Redis at {place} does not answer to TLS; if it speaks none, REDIS_URL is redis://…."
            )
        case redis.TimeoutError():
            return QueueAway(f"Redis at {place} did not answer in time.")
        case redis.ConnectionError() if _unknown_host(error):
            return QueueAway(f"The host of REDIS_URL is unknown ({place}); check its name.")
        case redis.ConnectionError() if _was_closed(error):
            return QueueAway(f"Redis at {place} closed the connection: it restarts, or wants TLS (rediss://).")
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
    return _in_chain(error, socket.gaierror) is not None


def _was_closed(error: BaseException) -> bool:
    return _in_chain(error, ConnectionResetError) is not None or "closed by server" in str(error)


def _in_chain(error: BaseException, kind: type[E]) -> E | None:
    return next((each for each in _chain(error) if isinstance(each, kind)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0].strip()
    return line if line.endswith((".", "!", "?")) else f"{line}."
