"""A PostgreSQL URL as Prisma writes it, read into what asyncpg takes."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit

from shared.errors import SettingsError

#: Parameters of libpq that asyncpg reads from a DSN; every other one of Prisma's or a vendor's stays out of it.
_FOR_ASYNCPG: Final = (
    "application_name", "dbname", "options", "passfile", "password", "port", "target_session_attrs", "user",
)  # fmt: skip
_TLS_FOR_ASYNCPG: Final = ("sslcert", "sslcrl", "sslkey", "sslmode", "sslpassword", "sslrootcert")
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
#: The names and addresses of this machine.
LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_SYSTEM: Final = "system"
_TRUE: Final = ("1", "true", "yes", "on")
_DEFAULT_PORT: Final = 5432
#: Supabase's transaction pooler; its session pooler has the usual port.
_SUPABASE_POOLER_PORT: Final = 6543
_EXAMPLE: Final = "postgresql://USER:PASSWORD@HOST:5432/DATABASE?schema=public"


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Where a PostgreSQL database is and how to talk to it; `str()` and `repr()` never show the password."""

    url: str = field(repr=False)
    dsn: str = field(repr=False)
    redacted: str
    host: str
    port: int
    user: str
    database: str
    schema: str
    connection_limit: int | None
    pool_timeout_s: float | None
    connect_timeout_s: float | None
    transaction_pooler: bool
    ssl_mode: str = "prefer"

    @classmethod
    def parse(cls, url: str) -> DatabaseAddress:
        """Return the address that `url` names; raises SettingsError, which never shows the password."""
        parts = _split(url)
        query = _parameters(parts)
        host, port = _first_host(parts.netloc.rpartition("@")[2], query)
        if "sslmode" in query and query["sslmode"] not in _SSL_MODES:
            raise SettingsError(f"DATABASE_URL: sslmode={query['sslmode']} is none of {', '.join(_SSL_MODES)}.")
        return cls(
            url=url,
            dsn=_dsn(parts, query, port),
            redacted=_redacted(parts, query),
            host=host,
            port=port,
            user=unquote(parts.username or query.get("user", "")),
            database=unquote(parts.path.removeprefix("/")) or query.get("dbname", ""),
            schema=query.get("schema") or "public",
            connection_limit=_whole(query, "connection_limit"),
            pool_timeout_s=_seconds(query, "pool_timeout"),
            connect_timeout_s=_seconds(query, "connect_timeout"),
            transaction_pooler=_is_transaction_pooler(host, port, query),
            ssl_mode=_tls(query).get("sslmode", "prefer"),
        )

    def __str__(self) -> str:
        return self.redacted

    @property
    def place(self) -> str:
        """Host and port, or the folder of the socket: what a sentence calls the server."""
        return self.host if self.host.startswith("/") else f"{self.host}:{self.port}"

    @property
    def needs_tls(self) -> bool:
        """Whether a session that is not encrypted is refused; sslmode=prefer, the default, takes either."""
        return self.ssl_mode in ("require", "verify-ca", "verify-full")

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return self.host.startswith("/") or self.host in LOCAL_HOSTS

    def connect_arguments(self) -> Mapping[str, Any]:
        """Return what `asyncpg.connect` and `create_pool` take for this address, without session settings."""
        arguments: dict[str, Any] = {"dsn": self.dsn}
        if self.transaction_pooler:
            arguments["statement_cache_size"] = 0
        return arguments


def _split(url: str) -> SplitResult:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql"):
        said = f"starts with {scheme}://" if separator else "is no URL"
        raise SettingsError(f"DATABASE_URL {said}; it must look like {_EXAMPLE}.")
    try:
        parts = urlsplit(url)
        # Only to have it read: a port that is no number raises here.
        _ = None if "," in parts.netloc else parts.port
    except ValueError:
        raise SettingsError(
            f"DATABASE_URL can't be read; it must look like {_EXAMPLE}, "
            "with every special character of user and password percent-encoded."
        ) from None
    if parts.fragment or "/" in parts.path.removeprefix("/"):
        raise SettingsError(
            "DATABASE_URL has a stray '#' or '/' in it; in user, password and database name "
            "write '#' as %23 and '/' as %2F."
        )
    return parts


def _parameters(parts: SplitResult) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}


def _first_host(hosts: str, query: Mapping[str, str]) -> tuple[str, int]:
    first = hosts.split(",")[0]
    host, port = first, ""
    if match := re.fullmatch(r"(\[.*\]|[^:]*)(?::(\d+))?", first):
        host, port = match[1].strip("[]"), match[2] or ""
    try:
        return unquote(query.get("host") or host) or "localhost", int(query.get("port") or port or _DEFAULT_PORT)
    except ValueError:
        raise SettingsError(f"DATABASE_URL: port={query['port']} is no number.") from None


def _dsn(parts: SplitResult, query: Mapping[str, str], port: int) -> str:
    credentials, at, hosts = parts.netloc.rpartition("@")
    passed = _tls(query)
    if query.get("host"):
        # Prisma and libpq let it win over the host before it; asyncpg does not.
        hosts = ""
        passed |= {"host": query["host"], "port": str(port)}
    passed |= {name: query[name] for name in _FOR_ASYNCPG if query.get(name)}
    tail = f"?{urlencode(passed, quote_via=quote)}" if passed else ""
    return f"postgresql://{credentials}{at}{hosts}{parts.path}{tail}"


def _tls(query: Mapping[str, str]) -> dict[str, str]:
    """Prisma's `sslcert` is the server's authority, and its `sslaccept=strict` is libpq's `verify-full`."""
    if query.get("sslidentity"):
        raise SettingsError("DATABASE_URL: sslidentity can't be read; use sslcert and sslkey instead.")
    passed = {name: query[name] for name in _TLS_FOR_ASYNCPG if query.get(name)}
    if "sslcert" in passed and "sslkey" not in passed:
        passed["sslrootcert"] = passed.pop("sslcert")
    if query.get("sslaccept") == "strict":
        passed["sslmode"] = "verify-full"
        passed.setdefault("sslrootcert", _SYSTEM)
    if passed.get("sslrootcert") == _SYSTEM:
        passed["sslrootcert"] = _system_authorities()
    return dict(sorted(passed.items()))


def _system_authorities() -> str:
    """libpq's word for the authorities that this machine trusts; older ones, and asyncpg, want a file."""
    found = ssl.get_default_verify_paths().cafile
    if found is None:
        raise SettingsError(
            "DATABASE_URL: this machine has no file of trusted authorities; give sslrootcert=FILE."
        )
    return found


def _redacted(parts: SplitResult, query: Mapping[str, str]) -> str:
    credentials, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    shown = {name: "***" if "password" in name else value for name, value in query.items()}
    tail = f"?{urlencode(shown, safe='/*')}" if shown else ""
    return f"{parts.scheme}://{user}{colon and ':***'}{at}{hosts}{parts.path}{tail}"


def _is_transaction_pooler(host: str, port: int, query: Mapping[str, str]) -> bool:
    said = query.get("pgbouncer", "").lower()
    if said:
        return said in _TRUE
    neon = host.endswith(".neon.tech") and host.split(".")[0].endswith("-pooler")
    supabase = port == _SUPABASE_POOLER_PORT and host.endswith((".supabase.com", ".supabase.co"))
    return neon or supabase


def _whole(query: Mapping[str, str], name: str) -> int | None:
    if not query.get(name):
        return None
    if not query[name].isdecimal() or int(query[name]) < 1:
        raise SettingsError(f"DATABASE_URL: {name}={query[name]} must be a whole number of at least 1.")
    return int(query[name])


def _seconds(query: Mapping[str, str], name: str) -> float | None:
    """Prisma counts these in seconds, and 0 means: no limit."""
    if not query.get(name):
        return None
    try:
        return float(query[name]) or None
    except ValueError:
        raise SettingsError(f"DATABASE_URL: {name}={query[name]} must be a number of seconds.") from None
